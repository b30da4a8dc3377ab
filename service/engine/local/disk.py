"""How much a folder has come to hold, looked at while others write to it, who may be hostile."""

import math
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event

import anyio
from anyio import CapacityLimiter, to_thread

from service.engine.local.removal import open_folder

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
_RECOVER_S = 10.0
"""How long the disk has to recover after one watch has ended, before another does."""
_one_at_a_time = CapacityLimiter(1)


async def watch_disk(folder: Path, limit_bytes: int, unnamed: Callable[[], int] = int) -> str:
    """Return a sentence once what is below `folder` takes more than it may, or leaves others on its disk too little.

    What counts is what the disk has given: a file with holes takes less than its length, one of many names is one.
    `unnamed` says how much those take that have no name any more, and are open. On a disk that is nearly full, whoever
    takes the most of all that are watched ends, and the others get the chance to go on.
    """
    watch = _Watch(folder, limit_bytes, unnamed)
    _watches.add(watch)
    try:
        while True:
            started = time.monotonic()
            if said := await watch.look():
                return said
            await _end_the_largest(folder)
            with anyio.move_on_after(max(_PAUSE_S, _PAUSES * (time.monotonic() - started))):
                await watch.told.wait()
            if watch.verdict:
                return watch.verdict
    finally:
        _watches.remove(watch)


def look_at_disk(folder: Path, limit_bytes: int) -> str:
    """Return a sentence if there is too much below `folder` now, else nothing; blocks."""
    try:
        _Look(limit_bytes).at(folder)
    except _TooMuchError as error:
        return str(error)
    return ""


class _Watch:
    def __init__(self, folder: Path, limit_bytes: int, unnamed: Callable[[], int]) -> None:
        self.folder = folder
        self.told = anyio.Event()
        self.verdict = ""
        """What somebody else has found of us."""
        self.bytes = 0
        self._limit = limit_bytes
        self._unnamed = unnamed

    async def look(self) -> str:
        look = _Look(self._limit)
        try:
            await to_thread.run_sync(self._run, look, abandon_on_cancel=True, limiter=_one_at_a_time)
        except _TooMuchError as error:
            return str(error)
        finally:
            look.is_off.set()
            self.bytes = look.bytes
        return ""

    def _run(self, look: "_Look") -> None:
        look.add_bytes(self._unnamed())
        look.at(self.folder)

    def end(self, verdict: str) -> None:
        self.verdict = verdict
        self.told.set()


_watches: set[_Watch] = set()
"""All of this process."""


class _Ends:
    """When one of them ended last for the sake of the others."""

    at = -math.inf


async def _end_the_largest(folder: Path) -> None:
    """Where the disk of `folder` is nearly full, end who takes the most of it; if that is no help, later the next.

    At the earliest after `_RECOVER_S`, for it may take a while until what was taken is given back.
    """
    if not _full(folder) or time.monotonic() - _Ends.at < _RECOVER_S:
        return
    _Ends.at = time.monotonic()
    for watch in list(_watches):
        await watch.look()
    if said := _full(folder):
        there = [each for each in _watches if _device(each.folder) == _device(folder)]
        max(there, key=lambda each: each.bytes).end(said)


def _device(folder: Path) -> int:
    with suppress(OSError):
        return folder.stat().st_dev
    return -1


def _full(folder: Path) -> str:
    with suppress(OSError):
        disk = os.statvfs(folder)
        size, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
        reserve = min(_RESERVE_BYTES, int(size * _RESERVE_PART))
        if free < reserve:
            return f"the disk is full: of its {_size(size)} less than {_size(reserve)} are free"
    return ""


class _TooMuchError(Exception):
    """The message is a sentence for people."""


class _Look:
    """One look at a folder. It goes by no path: who may rename what is in one could lead us anywhere."""

    def __init__(self, limit_bytes: int) -> None:
        self.is_off = Event()
        """Set when nobody wants to know any more."""
        self._limit = limit_bytes
        self.bytes = 0
        self._files = 0
        self._linked: set[tuple[int, int]] = set()
        """The files of more than one name that were counted."""

    def at(self, folder: Path) -> None:
        """Look at all of it, or until there is too much.

        Raises:
            _TooMuchError: there is.

        """
        with suppress(OSError):  # it is not there yet, or no more
            top = open_folder(folder)
            try:
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
                below = open_folder(name, folder)
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
        self._files += 1
        self.add_bytes(found.st_blocks * _BLOCK)
        if self._files > _MOST_FILES:
            raise _TooMuchError(f"it has more than {_MOST_FILES} files")

    def add_bytes(self, count: int) -> None:
        self.bytes += count
        if self.bytes > self._limit:
            raise _TooMuchError(f"its files take more than {_size(self._limit)} of the disk")


def _size(count: int) -> str:
    """As people read it."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if value < _UNIT:
            return f"{value:g} {unit}"
        value = round(value / _UNIT, 1)
    return f"{value:g} GiB"
