"""What a sandbox may see and use, and how the launcher is told."""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from service.engine.local.cgroup import Group
from service.engine.local.filter import system_call_filter
from service.engine.local.host import Host
from service.engine.local.launch import TREE
from service.engine.local.system import ACCOUNTS, HOME, SYSTEM_ENVIRON, system_arguments

WORKSPACE = "/workspace"

_FILTER = system_call_filter()


class Bind(Struct, frozen=True):
    """A file or a folder of this machine, shown at `target`."""

    source: Path
    target: str
    writable: bool = False


class Overlay(Struct, frozen=True):
    """Layers that look like one folder: those of `lower`, topmost first, and `upper`, which takes what is written."""

    lower: tuple[Path, ...]
    upper: Path
    work: Path
    """An empty folder beside `upper`."""


class Limits(Struct, frozen=True, kw_only=True):
    """What a sandbox may use; 0 is no limit."""

    memory_bytes: int = 0
    processes: int = 0
    cpus: float = 0
    disk_bytes: int = 0
    """The largest that a file may be; and the most that a folder may take that is watched, where 0 is nothing."""


class Confinement(Struct, frozen=True, kw_only=True):
    binds: tuple[Bind, ...] = ()
    tree: Path | Overlay | None = None
    """Has `workspace` and `home`, which the sandbox gets to write."""
    workspace: str = WORKSPACE
    """Where that part of the tree is shown."""
    workdir: str = "/"
    environ: dict[str, str] = {}
    """Besides `SYSTEM_ENVIRON`; nothing is inherited."""
    network: bool = False
    """Whether this machine's network is there, its loopback included; else there is an empty loopback alone."""
    limits: Limits = Limits()
    stdin: bytes = b""
    """What the command reads; nothing else in the sandbox can."""
    name: str = "sandbox"
    """For people who look at the machine's control groups."""


class Plan(Struct, frozen=True, kw_only=True):
    """What the launcher is told."""

    bwrap: str
    command: Sequence[str]
    info: int
    """The launcher's descriptor on which bubblewrap is to tell the sandbox's first process."""
    stdin: bytes
    filter: bytes
    before: list[str]
    """Bubblewrap's arguments that stand before those for `binds`, which lie over what these show."""
    after: list[str]
    """Those that stand after them, and shut the sandbox."""
    binds: list[tuple[str, str, bool]]
    overlay: dict[str, list[str]] | None
    user: int | None
    procs: list[str]
    """Files of the control groups that it joins, by writing its process id to each."""
    limits: dict[str, int]
    room_for: int | None
    """How many processes may run besides those that do, where no group counts them."""


def plan_of(host: Host, command: Sequence[str], what: Confinement, group: Group | None, info: int) -> Plan:
    """Return what the launcher is told, so that `command` runs in such a sandbox, in `group`."""
    limits = {"FSIZE": what.limits.disk_bytes}
    if group is None:
        limits["DATA"] = what.limits.memory_bytes
    overlay = what.tree if isinstance(what.tree, Overlay) else None
    return Plan(
        bwrap=host.bwrap,
        command=command,
        info=info,
        stdin=what.stdin,
        filter=_FILTER,
        before=[*_isolation(what), *system_arguments(), *_overlaid(what)],
        after=["--remount-ro", "/", "--chdir", what.workdir, *_environ(what)],
        binds=[(str(each.source), each.target, each.writable) for each in (*_accounts(), *_tree(what), *what.binds)],
        overlay=overlay and _layers(overlay),
        user=host.user,
        procs=[str(path) for path in group.procs] if group else [],
        limits={name: most for name, most in limits.items() if most},
        room_for=what.limits.processes or None if group is None else None,
    )


def _isolation(what: Confinement) -> list[str]:
    """Namespaces of its own, which end with us, no capability, and a user of no importance."""
    kinds = ["user", "ipc", "pid", "uts", "cgroup", *([] if what.network else ["net"])]
    alone = ["--disable-userns", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    who = ["--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]
    return [*(f"--unshare-{kind}" for kind in kinds), *alone, *who]


def _accounts() -> list[Bind]:
    return [Bind(source, target) for target, source in ACCOUNTS.items()]


def _tree(what: Confinement) -> list[Bind]:
    if not isinstance(what.tree, Path):
        return []
    places = {"workspace": what.workspace, "home": HOME}
    return [Bind(what.tree / name, place, writable=True) for name, place in places.items()]


def _overlaid(what: Confinement) -> list[str]:
    """The same for an overlay, which the launcher mounts at `TREE`."""
    if not isinstance(what.tree, Overlay):
        return []
    return ["--bind", f"{TREE}/workspace", what.workspace, "--bind", f"{TREE}/home", HOME]


def _layers(overlay: Overlay) -> dict[str, list[str]]:
    return {
        "lowerdir": [str(each) for each in overlay.lower],
        "upperdir": [str(overlay.upper)],
        "workdir": [str(overlay.work)],
    }


def _environ(what: Confinement) -> list[str]:
    environ = SYSTEM_ENVIRON | what.environ
    return [part for name, value in environ.items() for part in ("--setenv", name, value)]
