"""What processes that were killed have left on this machine, and what nobody has used for long.

Sandboxes write to much of what is looked at here: nothing of theirs is believed, and none of it can fail a run.
"""

import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import anyio
from anyio import to_thread

from service.engine.local.disk import look_at_disk
from service.engine.local.host import Host
from service.engine.local.lock import is_still, try_lock
from service.engine.local.orphans import end_orphans
from service.engine.local.removal import open_folder, remove

_UNUSED_S = 30 * 86_400.0
"""Until a repository, or an agent's programs, are removed."""
_MOST_KEPT = 8
"""Checkouts of one repository, and workspaces, that are kept for the next run."""
_MOST_PACKS = 50
"""Fetches whose objects are kept side by side, before all begins anew: git looks into each for what it seeks."""
_LOOK_S = 3600.0
"""Between two looks at how much a repository's cache takes; each walks through all of it."""
_USED = ".used"
_LOCK = ".lock"
_GONE = "gone-"
_OURS = ("runs", "repositories")


def lay_out(home: Path) -> None:
    """Make the folders that every home has.

    As root, sandboxes' user passes through the outermost, and nobody further.
    """
    home.mkdir(mode=0o711, parents=True, exist_ok=True)
    for name in _OURS:
        (home / name).mkdir(mode=0o700, exist_ok=True)
        (home / name).chmod(0o700)


@asynccontextmanager
async def run_folder(home: Path, name: str) -> AsyncGenerator[Path]:
    """A folder for a run, for as long as the block lasts; a lock says that it is in use, for as long as we live."""
    lay_out(home)
    folder, lock = _new_lock(home / "runs", name)
    try:
        folder.mkdir(mode=0o711)
        yield folder
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(_drop, folder, lock)


def _new_lock(runs: Path, name: str) -> tuple[Path, BinaryIO]:
    """A folder's name that nobody else has, and its lock, which we hold."""
    while True:
        folder = runs / f"{name}-{uuid4().hex[:8]}"
        lock = open(f"{folder}{_LOCK}", "xb")  # noqa: PTH123, SIM115 -- it stays open
        if try_lock(lock.fileno()):
            return folder, lock
        lock.close()  # who sweeps has it, and removes it


def sweep(home: Path, host: Host, disk_bytes: int) -> None:
    """End and remove what is left of runs whose process was killed, and what is too old or too large; blocks."""
    end_orphans(host.user)
    for folder in _entries(home / "runs"):
        with suppress(OSError):
            _sweep_run(folder)
    for repository in _entries(home / "repositories"):
        with suppress(OSError), (file := repository / "lock").open("ab") as lock:
            if try_lock(lock.fileno()) and is_still(file, lock.fileno()):
                _trim(repository, home, disk_bytes)
    for agent in _entries(home / "agents"):
        with suppress(OSError):
            if _note_of(agent).exists() and time.time() - _used_at(agent) > _UNUSED_S:
                _discard(agent, home)
    if host.cgroups is not None:
        with suppress(OSError):
            host.cgroups.sweep()


def note_use(folder: Path) -> None:
    """Say that a checkout, a workspace or an agent's programs are used now."""
    _note_of(folder).touch()


def _sweep_run(path: Path) -> None:
    """Remove what nobody holds the lock of; a lock is there before its folder is, and for longer."""
    if path.suffix == _LOCK:
        lock = path.open("rb")
        if try_lock(lock.fileno()):
            _drop(path.with_suffix(""), lock)
        else:
            lock.close()
    elif not path.with_name(path.name + _LOCK).exists():
        remove(path)


def _drop(folder: Path, lock: BinaryIO) -> None:
    """Remove a folder, then its lock, which is ours; what cannot be removed keeps its lock, for the next who sweeps."""
    with lock:
        if remove(folder):
            Path(f"{folder}{_LOCK}").unlink(missing_ok=True)


def _trim(repository: Path, home: Path, disk_bytes: int) -> None:
    """Remove of a repository that nobody holds what has not been used for long, or has become too much."""
    used = (repository / "lock").lstat().st_mtime
    if time.time() - used > _UNUSED_S or _count_packs(repository) > _MOST_PACKS:
        _discard(repository, home)  # as a whole: checkouts borrow git's objects
        return
    for kind in ("trees", "workspaces"):
        kept = [each for each in _entries(repository / kind) if each.suffix != _USED]
        for each in sorted(kept, key=_used_at)[:-_MOST_KEPT]:
            _discard(each, home)
            _note_of(each).unlink(missing_ok=True)
    _bound_cache(repository / "cache", home, disk_bytes, used)


def _bound_cache(cache: Path, home: Path, disk_bytes: int, used: float) -> None:
    """Remove what setup commands have put aside, where it is too much; looked at once in a while after it was used."""
    looked = cache.with_name("cache.looked")
    if cache.exists() and _used_at(looked) < min(used, time.time() - _LOOK_S):
        if look_at_disk(cache, disk_bytes):
            _discard(cache, home)
        looked.touch()


def _discard(folder: Path, home: Path) -> None:
    """Remove it so that nobody ever finds a part of it, whenever we are killed."""
    gone = home / "runs" / f"{_GONE}{uuid4().hex}"  # without a lock: whoever sweeps goes on
    top = open_folder(folder)
    try:
        os.fchmod(top, 0o700)  # or its user could not move it
        folder.rename(gone)
    finally:
        os.close(top)
    remove(gone)


def _count_packs(repository: Path) -> int:
    return sum(1 for each in _entries(repository / "git" / "objects" / "pack") if each.suffix == ".pack")


def _entries(folder: Path) -> list[Path]:
    """What is in a folder of ours; nothing where there is none."""
    with suppress(OSError):
        return list(folder.iterdir())
    return []


def _note_of(folder: Path) -> Path:
    """The file whose date says when `folder` was used last."""
    return folder.with_name(folder.name + _USED)


def _used_at(folder: Path) -> float:
    """When it was used last; 0 for what is gone."""
    for each in (_note_of(folder), folder):
        with suppress(OSError):
            return each.lstat().st_mtime
    return 0.0
