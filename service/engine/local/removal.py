"""Remove what foreign programs have written: nothing of theirs can lead us elsewhere, stop us, or make us fail."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TIMES = 3


class _Level(Struct, frozen=True):
    """A folder on the way from the top to where we are."""

    name: str
    identity: tuple[int, int]
    folders: list[str]
    """Those in it that are left to be emptied."""


def remove(path: Path) -> bool:
    """Remove a file or a folder, whatever is in it and whatever its modes; whether it is gone. No link is followed."""
    for _ in range(_TIMES):  # who is still alive in it may add to it
        with suppress(OSError):
            place = os.open(path.parent, _PLACE & ~os.O_NOFOLLOW)
            try:
                _remove(path.name, place)
            finally:
                os.close(place)
        if not os.path.lexists(path):
            return True
    return False


def empty(folder: Path) -> None:
    """Remove all that is in a folder, as far as it can be."""
    with suppress(OSError):
        top = open_folder(folder)
        try:
            _empty(top)
        finally:
            os.close(top)


def open_folder(path: Path | str, within: int | None = None) -> int:
    """Open a folder, though its owner, whom we run as, may have shut everybody out; never what a link leads to."""
    with suppress(PermissionError):
        return os.open(path, _FOLDER, dir_fd=within)
    place = os.open(path, _PLACE, dir_fd=within)
    try:
        Path(f"/proc/self/fd/{place}").chmod(stat.S_IRWXU)  # the folder that is open, whatever has its name now
        return os.open(".", _FOLDER, dir_fd=place)
    finally:
        os.close(place)


def _remove(name: str, place: int) -> None:
    if not stat.S_ISDIR(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=place)
        return
    top = open_folder(name, place)
    try:
        _empty(top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=place)


def _empty(top: int) -> None:
    """Go down and up again with one descriptor: a tree may be deeper than there are any, or than Python recurses."""
    here = os.dup(top)
    try:
        trail = [_level("", here)]
        while True:
            if trail[-1].folders:
                with suppress(OSError):  # it is gone, or a folder no more
                    name = trail[-1].folders.pop()
                    below = open_folder(name, here)
                    os.close(here)
                    here = below
                    trail.append(_level(name, here))
                continue
            left = trail.pop()
            if not trail:
                return
            above = os.open("..", _FOLDER, dir_fd=here)
            os.close(here)
            here = above
            if _identity(here) != trail[-1].identity:
                raise OSError(errno.ESTALE, "a folder was moved while it was emptied")
            with suppress(OSError):
                os.rmdir(left.name, dir_fd=here)
    finally:
        os.close(here)


def _level(name: str, folder: int) -> _Level:
    """Remove of a folder what is no folder, and say what is left."""
    with suppress(OSError):
        os.fchmod(folder, stat.S_IRWXU)
    folders: list[str] = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                else:
                    os.unlink(entry.name, dir_fd=folder)
    return _Level(name, _identity(folder), folders)


def _identity(folder: int) -> tuple[int, int]:
    found = os.fstat(folder)
    return found.st_dev, found.st_ino
