"""The programs that a sandbox has beside the system's: the harness and its Python, agents', and the operator's tools.

The harness runs on the Python that runs this, from the packages that are installed beside it.
"""

import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import anyio

import aideator.task
from agent_image import events
from agent_image.told import OPTION
from aideator.places import AGENT_MOUNT, MOUNT
from aideator.task import needs_of
from service.engine.local.confinement import Bind
from service.engine.local.leftovers import note_use
from service.engine.local.system import HOME, PATH
from service.errors import EngineError, EngineUnavailableError

_AGENT_IMAGE = Path(events.__file__).parent
_PREFIX = Path(sys.base_prefix).resolve()
_PYTHON = Path(sys.executable).resolve()
_OS_RELEASE = Path("/etc/os-release")
_PACKAGES = [Path(path) for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
"""Where what is installed is, in the order in which it is looked for."""

_READABLY = 'umask 022; exec "$@"'
"""By the shell, for uvloop's processes take no umask."""
_NEVER = {Path(path) for path in ("/", "/dev", "/etc", "/home", "/proc", "/root", "/run", "/sys", "/tmp", "/var")}  # noqa: S108
"""Folders that hold what is somebody's own, or that sandboxes have in a shape of their own."""


class Programs:
    """Agents' own are kept below `home`; `tools` are shown where they are, and their `bin` folders are in `path`."""

    def __init__(self, home: Path, tools: Sequence[Path]) -> None:
        self._home = home
        self._tools = tools
        self._turn = anyio.Lock()
        shown = {str(path): path for path in (*tools, *_outside_the_system())}
        installed = [path for path in _PACKAGES if path.is_dir()]
        packages = {f"{MOUNT}/packages/{number}": path for number, path in enumerate(installed)}
        places = {f"{MOUNT}/site/agent_image": _AGENT_IMAGE, **packages, **shown}
        self.binds = tuple(Bind(source, target) for target, source in places.items())
        bins = [f"{path}/bin" for path in shown.values() if (path / "bin").is_dir()]
        self.path = ":".join([f"{HOME}/.local/bin", *bins, PATH])
        self._boot = _boot([f"{MOUNT}/site"], [*packages, f"{AGENT_MOUNT}/site"])

    def harness(self) -> list[str]:
        """The command line of the harness, which reads a task from stdin.

        Neither the system's packages nor the repository's folders replace it.
        """
        return [str(_PYTHON), "-I", "-S", "-c", self._boot, OPTION]

    def check(self) -> None:
        """Raise `EngineUnavailableError` for a folder that cannot be shown."""
        for path in self._tools:
            if not path.is_dir():
                raise EngineUnavailableError(f"LOCAL_TOOLS names {path}, which is no folder that is there")
        named = [(f"LOCAL_TOOLS names {path}", path) for path in self._tools]
        for what, path in (*named, *((f"our Python is in {path}", path) for path in _outside_the_system())):
            if path in _NEVER or self._home.is_relative_to(path):
                raise EngineUnavailableError(f"{what}, which is more than sandboxes should see")
        if os.geteuid() == 0:  # then sandboxes are somebody else
            for bind in self.binds:
                _check_readable(bind.source, all_of_it=bind.target.startswith(MOUNT))

    def fingerprint(self) -> list[str]:
        """What tells these programs, and the system's, from others that may do otherwise."""
        tools = [f"{path} {_changed(path)} {_changed(path / 'bin')}" for path in self._tools]
        return [*tools, sys.version, _OS_RELEASE.read_text() if _OS_RELEASE.exists() else ""]

    async def agent(self, task: aideator.task.Task, scratch: Path, *, limit_s: float) -> tuple[Bind, ...]:
        """What the agent of `task` needs besides, installed by way of `scratch` where it is not there yet.

        Raises:
            EngineError: it cannot be installed, or not within `limit_s`.

        """
        if task.agent == "builtin" or AGENT_MOUNT not in needs_of(task):
            return ()  # what our own agent needs is what the service needs
        try:
            with anyio.fail_after(limit_s):
                async with self._turn:
                    place = await self._installed(_AGENT_IMAGE / needs_of(task)[AGENT_MOUNT], scratch)
        except TimeoutError as error:
            message = f"what it needs was not installed within {limit_s:g} s"
            raise EngineError("agent.unavailable", message) from error
        return (Bind(place, AGENT_MOUNT),)

    async def _installed(self, requirements: Path, scratch: Path) -> Path:
        content = await anyio.Path(requirements).read_bytes()
        place = self._home / f"{requirements.stem}-{hashlib.sha256(content).hexdigest()[:16]}"
        if place.exists():
            note_use(place)
            return place
        new = scratch / f"{requirements.stem}-{uuid4().hex}"
        await _install(requirements, new / "site")
        self._home.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # another service was faster
            new.rename(place)
        note_use(place)
        return place


def _check_readable(folder: Path, *, all_of_it: bool) -> None:
    """What is ours has to be readable, as far as its uppermost files show; whose else it is may hide some of it."""
    within = [path for path in folder.iterdir() if _is_code(path)] if all_of_it else []
    for path in (folder, *within):
        mode = path.stat().st_mode
        if not mode & stat.S_IROTH or (path.is_dir() and not mode & stat.S_IXOTH):
            raise EngineUnavailableError(f"sandboxes cannot read {path}: `chmod -R go+rX {folder}` lets them")


def _is_code(path: Path) -> bool:
    """Whether nothing works without it, as it does without what Python has compiled."""
    return path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__")


def _changed(folder: Path) -> int:
    return folder.stat().st_mtime_ns if folder.exists() else 0


def _outside_the_system() -> list[Path]:
    return [] if _PREFIX.is_relative_to("/usr") else [_PREFIX]


def _boot(first: Sequence[str], last: Sequence[str]) -> str:
    paths = f"sys.path[:0] = {list(first)}; sys.path += {list(last)}"
    return f"import sys; {paths}; from agent_image.__main__ import run; run()"


async def _install(requirements: Path, site: Path) -> None:
    """Install packages as they are pinned, without running anything of theirs."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    pip += ["--only-binary=:all:", "--require-hashes", f"--target={site}", f"--requirement={requirements}"]
    command = ["sh", "-c", _READABLY, "sh", *pip]
    done = await anyio.run_process(command, check=False, stdin=subprocess.DEVNULL, env=dict(os.environ))
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise EngineError("agent.unavailable", f"what it needs cannot be installed: {said}")
