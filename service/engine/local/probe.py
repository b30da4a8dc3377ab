"""Find out whether this machine can run sandboxes, and by what means, by trying."""

import os
import re
import shutil
from pathlib import Path

import anyio
from anyio import to_thread
from msgspec import structs

from service.engine.local.cgroup import Cgroups
from service.engine.local.confine import run_confined
from service.engine.local.confinement import Confinement, Overlay
from service.engine.local.host import Host, Means
from service.engine.local.leftovers import run_folder
from service.errors import EngineError, EngineUnavailableError
from service.install import how_to_install

_SANDBOX_USER = 65_530
"""As root, whom sandboxes run as: a number that distributions leave alone, and that owns nothing."""
_LEAST_BWRAP = (0, 8)  # --disable-userns
_LEAST_GIT = (2, 37)  # http.curloptResolve
_TRY_S = 20.0


async def find_host(home: Path, *, overlay: bool = True) -> Host:
    """Look at this machine; `home` is where workspaces will be. With `overlay` False they are copies.

    Raises:
        EngineUnavailableError: sandboxes cannot be had here; the message says what to install or to change.

    """
    bwrap, version = await _tool("bwrap", "bubblewrap", _LEAST_BWRAP)
    await _tool("git", "git", _LEAST_GIT)
    try:
        async with run_folder(home, "probe") as folder:
            host = Host(
                bwrap=bwrap,
                bwrap_version=version,
                user=_SANDBOX_USER if os.geteuid() == 0 else None,
                means=await _means_of_copying(folder),
                cgroups=await to_thread.run_sync(Cgroups.find),
            )
            await _try(host, Confinement())
            return await _layered(host, folder) if host.user is not None and overlay else host
    except OSError as error:
        raise EngineUnavailableError(f"{home} cannot be used: {error.strerror}; LOCAL_HOME names another") from error


async def _layered(host: Host, folder: Path) -> Host:
    """The same with overlays, where they can be mounted below `folder`."""
    places = [host.make(folder / name) for name in ("lower", "upper", "work")]
    for name in ("workspace", "home"):
        host.make(places[0] / name)
    try:
        await _try(host, Confinement(tree=Overlay(lower=(places[0],), upper=places[1], work=places[2])))
    except EngineUnavailableError:
        return host
    return structs.replace(host, means="overlay")


async def _tool(program: str, package: str, least: tuple[int, ...]) -> tuple[str, str]:
    """Where a program is, and its version. `EngineUnavailableError` says how to have it where it is not, or too old."""
    path = shutil.which(program)
    if path is None:
        raise EngineUnavailableError(f"{package} is not installed: {how_to_install(package)}")
    said = (await anyio.run_process([path, "--version"], check=False)).stdout.decode(errors="replace")
    version = re.search(r"\d+(\.\d+)+", said)
    if version is None or tuple(int(part) for part in version[0].split(".")[:2]) < least:
        wanted = ".".join(str(part) for part in least)
        raise EngineUnavailableError(f"{path} is {said.strip() or 'of no version'}; {wanted} or newer is needed")
    return path, version[0]


async def _means_of_copying(folder: Path) -> Means:
    """How files below `folder` are copied: their blocks are shared where that can be."""
    source = folder / "source"
    await anyio.Path(source).write_bytes(b"x" * 4096)
    copied = await anyio.run_process(["cp", "--reflink=always", str(source), f"{source}.copy"], check=False)
    return "copy" if copied.returncode else "reflink"


async def _try(host: Host, what: Confinement) -> None:
    try:
        done = await run_confined(host, ["true"], what, limit_s=_TRY_S)
    except (EngineError, TimeoutError) as error:
        raise EngineUnavailableError(_why_not(str(error) or "it takes too long")) from error
    if done.status:
        raise EngineUnavailableError(_why_not(done.stderr.decode(errors="replace").strip()))


def _why_not(said: str) -> str:
    """What people can do about a sandbox that does not start."""
    switches = {
        "/proc/sys/kernel/unprivileged_userns_clone": ("0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        "/proc/sys/user/max_user_namespaces": ("0", "sysctl -w user.max_user_namespaces=10000"),
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    }
    for path, (off, remedy) in switches.items():
        if _read(path) == off:
            return f"this machine refuses user namespaces: `{remedy}`, as root ({said})"
    return f"no sandbox starts here: {said}; inside a container, that one must be allowed user namespaces and mounts"


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
