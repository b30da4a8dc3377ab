"""Files of a sandbox that have no name any more, but are open: no walk through a folder finds what they take."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress

_BLOCK = 512
"""Bytes that `st_blocks` counts in; see `man 3 stat`."""
_IN_MEMORY = ("tmp", "dev/shm")


def unnamed_bytes(first: int) -> int:
    """What the disk has given to those that are open in the sandbox whose first process this is; blocks."""
    sizes: dict[tuple[int, int], int] = {}
    try:
        namespace = os.stat(f"/proc/{first}/ns/pid").st_ino  # noqa: PTH116 -- of thousands, paths are slow
        in_memory = {os.stat(f"/proc/{first}/root/{place}").st_dev for place in _IN_MEMORY}  # noqa: PTH116
    except OSError:  # it is over
        return 0
    for process in _processes(namespace):
        for each in _open_files(process):
            if stat.S_ISREG(each.st_mode) and not each.st_nlink and each.st_dev not in in_memory:
                sizes[each.st_dev, each.st_ino] = each.st_blocks * _BLOCK
    return sum(sizes.values())


def _processes(namespace: int) -> Iterator[str]:
    for name in os.listdir("/proc"):  # noqa: PTH208
        with suppress(OSError):  # it is gone
            if name.isdigit() and os.stat(f"/proc/{name}/ns/pid").st_ino == namespace:  # noqa: PTH116
                yield name


def _open_files(process: str) -> Iterator[os.stat_result]:
    with suppress(OSError):
        for name in os.listdir(f"/proc/{process}/fd"):  # noqa: PTH208
            with suppress(OSError):
                yield os.stat(f"/proc/{process}/fd/{name}")  # noqa: PTH116
