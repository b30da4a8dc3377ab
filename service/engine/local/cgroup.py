"""Control groups: what bounds a sandbox's memory, processes and processors, where this process may make some.

On version 2 there is one hierarchy. Its controllers are handed down, group by group, and a group that hands them down
has no processes of its own. On version 1 each controller has a hierarchy, and neither is so.
"""

import os
import signal
import subprocess
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Literal
from uuid import uuid4

from msgspec import Struct

from service.engine.local.maker import is_of_dead, is_of_living, maker

_PARENT = "aideator"
_LEAF = "aideator-service"
_NEEDED = ("memory", "pids")
_CONTROLLERS = (*_NEEDED, "cpu")
_PERIOD_US = 100_000
_LEAVE_S = 0.1
"""How long a group that should be empty may be busy; the kernel takes a moment to let go of the dead."""
_SWEEP_S = 2.0
_EMPTY_S = 3600.0
"""How old a group is before anybody removes it that has nobody in it."""
_MOUNTS = Path("/proc/self/mountinfo")
_OWN = Path("/proc/self/cgroup")


class GroupLimits(Struct, frozen=True):
    """What the processes of a group may take, together; 0: as much as there is."""

    memory_bytes: int
    processes: int
    cpus: float = 0


class Group:
    """Processes that share limits. Of those who exceed its memory the kernel kills one, the largest."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._memory = folders["memory"]
        self.procs = tuple(folder / "cgroup.procs" for folder in dict.fromkeys(folders.values()))
        """Files to which a process writes its id, to join."""

    def oom_kills(self) -> int:
        """Count the processes that were killed for want of memory."""
        for name in ("memory.events", "memory.oom_control"):
            with suppress(OSError):
                counts = dict(line.split() for line in (self._memory / name).read_text().splitlines())
                return int(counts.get("oom_kill", 0))
        return 0


class Cgroups:
    """Where groups can be made: a folder of our own in each hierarchy that has a part in it."""

    def __init__(self, version: Literal["v1", "v2"], parents: Mapping[str, Path]) -> None:
        self.version: Literal["v1", "v2"] = version
        self._parents = parents
        """By controller; on version 2 it is the same for all."""

    @classmethod
    def find(cls, mounts: Path = _MOUNTS, own: Path = _OWN) -> "Cgroups | None":
        """Find out by making a group, and a process join it; None where that cannot be done."""
        found = list(_mounted(mounts))
        for cgroups in chain(_of_version_2(found, own), _of_version_1(found)):
            with suppress(OSError):
                cgroups.try_out()
                return cgroups
        return None

    @property
    def limits_cpu(self) -> bool:
        """False where the processors cannot be bounded, though all else can."""
        return "cpu" in self._parents

    @contextmanager
    def group(self, name: str, limits: GroupLimits) -> Generator[Group]:
        """Make a group for as long as the block takes; what is still alive in it then is killed.

        Raises:
            OSError: it cannot be made.

        """
        name = f"{maker()}.{name}"
        folders = {controller: parent / name for controller, parent in self._parents.items()}
        with ExitStack() as stack:
            for folder in dict.fromkeys(folders.values()):
                folder.mkdir()
                stack.callback(_remove, folder, _LEAVE_S)
            self._limit(folders, limits)
            yield Group(folders)

    def sweep(self) -> None:
        """Kill and remove the groups of whoever is no more, and remove those of others that nobody has been in lately.

        They are not of this engine alone, but of the machine, and of its containers, whose processes we cannot tell.
        """
        for parent in dict.fromkeys(self._parents.values()):
            for folder in [entry for entry in parent.iterdir() if entry.is_dir()]:
                with suppress(OSError):
                    if is_of_dead(folder.name):
                        _remove(folder, _SWEEP_S)
                    elif time.time() - folder.stat().st_mtime > _EMPTY_S and not is_of_living(folder.name):
                        folder.rmdir()

    def _limit(self, folders: Mapping[str, Path], limits: GroupLimits) -> None:
        memory, quota = str(limits.memory_bytes), round(limits.cpus * _PERIOD_US)
        if limits.processes:
            (folders["pids"] / "pids.max").write_text(str(limits.processes))
        if limits.memory_bytes and self.version == "v2":
            (folders["memory"] / "memory.max").write_text(memory)
            with suppress(OSError):  # a kernel without swap has none of these
                (folders["memory"] / "memory.swap.max").write_text("0")
        elif limits.memory_bytes:
            (folders["memory"] / "memory.limit_in_bytes").write_text(memory)
            with suppress(OSError):
                (folders["memory"] / "memory.memsw.limit_in_bytes").write_text(memory)
        if quota and self.limits_cpu and self.version == "v2":
            (folders["cpu"] / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
        elif quota and self.limits_cpu:
            (folders["cpu"] / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (folders["cpu"] / "cpu.cfs_quota_us").write_text(str(quota))

    def try_out(self) -> None:
        """Do once what will be done for each sandbox.

        Raises:
            OSError: it cannot be done.

        """
        for parent in dict.fromkeys(self._parents.values()):
            parent.mkdir(exist_ok=True)
            for folder in (parent.parent, parent) if self.version == "v2" else ():
                (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in self._parents))
        limits = GroupLimits(memory_bytes=1 << 30, processes=100, cpus=1)
        with (
            self.group(f"trial.{uuid4().hex}", limits) as group,
            subprocess.Popen(["cat"], env={}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as member,
        ):
            for procs in group.procs:
                procs.write_text(str(member.pid))


class _Mount(Struct, frozen=True):
    folder: Path
    root: str
    """Which group of the hierarchy is mounted there."""
    version: Literal["v1", "v2"]
    options: tuple[str, ...]


def _mounted(mounts: Path) -> Iterator[_Mount]:
    for line in mounts.read_text().splitlines():
        where, _, what = line.partition(" - ")
        kind, _, options = what.split(" ", 2)
        if kind in {"cgroup", "cgroup2"}:
            _, _, _, root, folder, *_ = where.split()
            yield _Mount(Path(folder), root, "v1" if kind == "cgroup" else "v2", tuple(options.split(",")))


def _of_version_1(mounts: list[_Mount]) -> Iterator[Cgroups]:
    parents: dict[str, Path] = {}
    for mount in mounts:
        for controller in set(mount.options) & set(_CONTROLLERS) if mount.version == "v1" else ():
            parents.setdefault(controller, mount.folder / _PARENT)
    if parents.keys() >= set(_NEEDED):
        yield Cgroups("v1", parents)


def _of_version_2(mounts: list[_Mount], own: Path) -> Iterator[Cgroups]:
    """Where it might be, best first: at the top, where every process finds it again, or about where we are ourselves.

    In a delegated group that we are in it takes a step aside; that comes last.
    """
    for mount in mounts:
        if mount.version == "v2":
            ours = mount.folder / _path(own, mount.root)
            above = [folder for folder in ours.parents if folder.is_relative_to(mount.folder)]
            for folder in dict.fromkeys((mount.folder, ours, *above)):
                yield from _below(folder)
            for cgroups in _below(ours):
                _step_aside(ours)
                yield cgroups


def _below(folder: Path) -> Iterator[Cgroups]:
    with suppress(OSError):
        available = (folder / "cgroup.controllers").read_text().split()
        for names in (_CONTROLLERS, _NEEDED):
            if {*names} <= {*available}:
                yield Cgroups("v2", dict.fromkeys(names, folder / _PARENT))


def _path(own: Path, root: str) -> str:
    """Return where we are below the group that is mounted."""
    for line in own.read_text().splitlines():
        if line.startswith("0::"):
            return os.path.relpath(line.removeprefix("0::"), root)
    return ""


def _step_aside(folder: Path) -> None:
    """Move ourselves and our companions from `folder` into a group below it, so that it may hand down controllers."""
    with suppress(OSError):
        (folder / _LEAF).mkdir(exist_ok=True)
        for pid in (folder / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                (folder / _LEAF / "cgroup.procs").write_text(pid)


def _remove(folder: Path, limit_s: float) -> None:
    """Kill who is in a group until it can be removed; after `limit_s` it is left to the next who sweeps."""
    until = time.monotonic() + limit_s
    while True:
        with suppress(FileNotFoundError):
            try:
                folder.rmdir()
            except OSError:
                if time.monotonic() < until:
                    _kill(folder)
                    time.sleep(0.001)
                    continue
        return


def _kill(folder: Path) -> None:
    with suppress(OSError):
        (folder / "pids.max").write_text("0")  # nobody in it forks any more
    with suppress(OSError):
        (folder / "cgroup.kill").write_text("1")  # of version 2, since Linux 5.14
    with suppress(OSError):
        for pid in (folder / "cgroup.procs").read_text().split():
            with suppress(OSError):
                os.kill(int(pid), signal.SIGKILL)
