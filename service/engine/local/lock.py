"""A file that is locked: between tasks and between processes alike, and free again however its holder ends."""

import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

_AGAIN_S = 0.01


@asynccontextmanager
async def locked(file: Path, *, shared: bool = False) -> AsyncGenerator[None]:
    """Hold the lock of `file`, which is made, with its folder, where it is not there; waits for its turn."""
    descriptor = await _acquire(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


async def _acquire(file: Path, kind: int) -> int:
    while True:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # its folder was removed before it could be made
            continue
        try:
            while not try_lock(descriptor, kind):  # noqa: ASYNC110 -- who waits in the kernel cannot be cancelled
                await anyio.sleep(_AGAIN_S)
            if is_still(file, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file, unless somebody has."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_still(file: Path, descriptor: int) -> bool:
    """Whether the file that we hold is the one that others will lock: it may have been removed meanwhile."""
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
