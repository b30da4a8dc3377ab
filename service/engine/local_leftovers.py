"""What processes that were killed have left on this machine, and what nobody has used for long."""

import fcntl
import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from service.engine.local_host import Host

_UNUSED_S = 30 * 86_400.0
"""Until a repository is forgotten."""
_MOST_KEPT = 8
"""Checkouts of one repository, and workspaces, that are kept for the next run."""
_USED = ".used"


@contextmanager
def run_folder(home: Path, name: str) -> Generator[Path]:
    """A folder for a run, for as long as the block lasts; a lock says that it is in use, for as long as we live."""
    runs = home / "runs"
    runs.mkdir(mode=0o711, exist_ok=True)
    folder, lock = _locked(runs, name)
    try:
        folder.mkdir(mode=0o711)
        yield folder
    finally:
        _drop(folder, lock)


def _locked(runs: Path, name: str) -> tuple[Path, BinaryIO]:
    while True:
        folder = runs / f"{name}-{uuid4().hex[:8]}"
        lock = open(f"{folder}.lock", "xb")  # noqa: PTH123, SIM115 -- it stays open
        if _try_lock(lock):
            return folder, lock
        lock.close()  # who sweeps has it, and removes it


def sweep(home: Path, host: Host) -> None:
    """Remove what is left of runs whose process was killed; blocks."""
    for path in (home / "runs").glob("*.lock"):
        with suppress(FileNotFoundError):
            lock = path.open("rb")
            if _try_lock(lock):
                _drop(path.with_suffix(""), lock)
            else:
                lock.close()
    for repository in (home / "repositories").glob("*"):
        with suppress(FileNotFoundError), (repository / "lock").open("rb") as lock:
            if _try_lock(lock):
                _forget(repository)
    if host.cgroups is not None:
        host.cgroups.sweep(_is_alive)


def note_use(folder: Path) -> None:
    """Say that a checkout or a workspace is used now."""
    folder.with_name(folder.name + _USED).touch()


def _forget(repository: Path) -> None:
    """Remove of a repository that nobody holds what has not been used for long."""
    if time.time() - max(_used_at(each) for each in (repository, *repository.glob("*/*"))) > _UNUSED_S:
        remove(repository)
        return
    for kind in ("trees", "workspaces"):
        kept = [each for each in (repository / kind).glob("*") if each.is_dir()]
        for each in sorted(kept, key=_used_at)[:-_MOST_KEPT]:
            remove(each)
            each.with_name(each.name + _USED).unlink(missing_ok=True)


def _used_at(folder: Path) -> float:
    used = folder.with_name(folder.name + _USED)
    return (used if used.exists() else folder).stat().st_mtime


def _drop(folder: Path, lock: BinaryIO) -> None:
    """Remove a folder, then its lock, which is ours."""
    remove(folder)
    Path(f"{folder}.lock").unlink(missing_ok=True)
    lock.close()


def remove(folder: Path) -> None:
    """Remove a folder, whatever the modes of those in it."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for path, names, _ in os.walk(folder):
            for name in names:
                with suppress(OSError):
                    Path(path, name).chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)


def _is_alive(group: str) -> bool:
    """Whether the process is there that made a control group; it stands in its name."""
    maker = group.partition(".")[0]
    return not maker.isdigit() or Path("/proc", maker).exists()


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
