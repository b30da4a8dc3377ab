"""An agent that does not want to end, and a look at what is left of a run on this machine."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import anyio

_DAEMON = "trap '' TERM INT HUP; sleep 1000 & sleep 1000; :"
STUBBORN = f"""
trap '' TERM INT HUP
for each in 1 2 3; do (setsid sh -c "{_DAEMON}" >/dev/null 2>&1 &); done
sh -c 'sleep 1000 & echo at work; sleep 1000; :'
"""
"""Ignores every signal that can be ignored, and forks twice into sessions of their own: `FAMILY` processes and more."""

FAMILY = 12
_CGROUPS = Path("/sys/fs/cgroup")


def processes_of(run: str | UUID) -> list[int]:
    """The ids of all processes of this machine, those in containers included, that belong to a run, by its URL or id.

    They have its id in their environment, which is inherited.
    """
    mark = f"RUN_ID={_id_of(run)}".encode()
    return [int(process.name) for process in _processes() if mark in _read(process / "environ").split(b"\0")]


def processes_that_say(mark: str) -> list[int]:
    """The ids of all processes of this machine that have `mark` in their command line."""
    return [int(process.name) for process in _processes() if mark.encode() in _read(process / "cmdline")]


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped it; False for one that is gone."""
    try:
        return "\nState:\tT" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def descendants_that_say(mark: str) -> list[int]:
    """Those that this process has started, or what it has started."""
    parents = {int(process.name): _parent(process) for process in _processes()}

    def is_ours(pid: int) -> bool:
        while pid and pid != os.getpid():
            pid = parents.get(pid, 0)
        return pid != 0

    return [pid for pid in processes_that_say(mark) if pid != os.getpid() and is_ours(pid)]


def traces_of(run: str | UUID) -> list[str]:
    """Whatever on this machine has a run's id to its name: processes, mounts in any namespace, groups of processes."""
    names = (str(_id_of(run)).encode(), _id_of(run).hex.encode())
    found: list[str] = []
    for process in _processes():
        for kind in ("environ", "cmdline", "mountinfo", "cgroup"):
            if any(name in _read(process / kind) for name in names):
                found.append(f"process {process.name}, by its {kind}")  # noqa: PERF401 -- two loops
    for folder, groups, _ in os.walk(_CGROUPS):
        found += [f"{folder}/{group}" for group in groups if any(name in group.encode() for name in names)]
    return found


async def until_at_work(run: str | UUID, count: int) -> None:
    """Wait until `count` agents that are `STUBBORN` have started all that they start."""
    with anyio.fail_after(60):
        while len(processes_of(run)) < FAMILY * count:  # noqa: ASYNC110 -- processes in containers have no event
            await anyio.sleep(0.05)


def _id_of(run: str | UUID) -> UUID:
    return run if isinstance(run, UUID) else UUID(run.rpartition("/")[2])


def _processes() -> Iterator[Path]:
    return Path("/proc").glob("[0-9]*")


def _read(file: Path) -> bytes:
    # A process may end while it is looked at; and some are not for us to see, which ours never are.
    with suppress(OSError):
        return file.read_bytes()
    return b""


def _parent(process: Path) -> int:
    """The id of a process's parent; 0 if it is gone."""
    fields = _read(process / "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0
