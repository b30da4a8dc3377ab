"""How much a folder has come to hold, looked at while others write to it, who may be hostile."""

import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from threading import Event

import anyio
from anyio import CapacityLimiter, to_thread

_MOST_FILES = 1_000_000
_DEEPEST = 250
"""Each level costs a descriptor while the deepest is looked at."""
_RESERVE_BYTES = 1 << 30
_RESERVE_PART = 0.05
_PAUSE_S = 1.0
_PAUSES = 20
"""How much longer than a look the pause after it is, so that looking takes a processor a twentieth of its time."""
_BLOCK = 512
_UNIT = 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_one_at_a_time = CapacityLimiter(1)


async def watch_disk(folder: Path, limit_bytes: int) -> str:
    """Return a sentence once what is below `folder` takes more than it may, or leaves others on its disk too little.

    What counts is what the disk has given: a file with holes takes less than its length, one of many names is one.
    """
    while True:
        started = time.monotonic()
        if said := await _look(folder, limit_bytes):
            return said
        await anyio.sleep(max(_PAUSE_S, _PAUSES * (time.monotonic() - started)))


async def _look(folder: Path, limit_bytes: int) -> str:
    """Return what is wrong, or nothing."""
    look = _Look(limit_bytes)
    try:
        await to_thread.run_sync(look.at, folder, abandon_on_cancel=True, limiter=_one_at_a_time)
    except _TooMuchError as error:
        return str(error)
    finally:
        look.is_off.set()
    return ""


class _TooMuchError(Exception):
    """The message is a sentence for people."""


class _Look:
    """One look at a folder. It goes by no path: who may rename what is in one could lead us anywhere."""

    def __init__(self, limit_bytes: int) -> None:
        self.is_off = Event()
        """Set when nobody wants to know any more."""
        self._limit = limit_bytes
        self._bytes = 0
        self._files = 0
        self._linked: set[tuple[int, int]] = set()
        """The files of more than one name that were counted."""

    def at(self, folder: Path) -> None:
        """Look at all of it, or until there is too much.

        Raises:
            _TooMuchError: there is.

        """
        with suppress(OSError):  # it is not there yet, or no more
            top = os.open(folder, _FOLDER)
            try:
                _check_free(os.fstatvfs(top))
                self._add(top, _DEEPEST)
            finally:
                os.close(top)

    def _add(self, folder: int, levels: int) -> None:
        if self.is_off.is_set():
            return
        if levels == 0:
            raise _TooMuchError(f"its folders are more than {_DEEPEST} levels deep")
        for name in self._add_entries(folder):
            with suppress(OSError):  # it is gone, or no folder any more
                below = _open(name, folder)
                try:
                    self._add(below, levels - 1)
                finally:
                    os.close(below)

    def _add_entries(self, folder: int) -> list[str]:
        """Add what is in it, and return which of that are folders."""
        folders: list[str] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    self._add_one(entry.stat(follow_symlinks=False))
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
        return folders

    def _add_one(self, found: os.stat_result) -> None:
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            if (found.st_dev, found.st_ino) in self._linked:
                return
            self._linked.add((found.st_dev, found.st_ino))
        self._bytes += found.st_blocks * _BLOCK
        self._files += 1
        if self._bytes > self._limit:
            raise _TooMuchError(f"its files take more than {_size(self._limit)} of the disk")
        if self._files > _MOST_FILES:
            raise _TooMuchError(f"it has more than {_MOST_FILES} files")


def _open(name: str, folder: int) -> int:
    """Open a folder, though its owner, whom we run as, may have shut everybody out."""
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except PermissionError:
        place = os.open(name, _FOLDER | os.O_PATH, dir_fd=folder)
        try:
            Path(f"/proc/self/fd/{place}").chmod(stat.S_IRWXU)
        finally:
            os.close(place)
        return os.open(name, _FOLDER, dir_fd=folder)


def _check_free(disk: os.statvfs_result) -> None:
    size, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
    reserve = min(_RESERVE_BYTES, int(size * _RESERVE_PART))
    if free < reserve:
        raise _TooMuchError(f"the disk is full: of its {_size(size)} less than {_size(reserve)} are free")


def _size(count: int) -> str:
    """As people read it."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if value < _UNIT:
            return f"{value:g} {unit}"
        value = round(value / _UNIT, 1)
    return f"{value:g} GiB"
