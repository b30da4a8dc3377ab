"""A patch made on this machine, in a sandbox, by the commands that make it everywhere."""

import signal
from pathlib import Path

import anyio
from anyio import to_thread
from msgspec import structs

from aideator import places
from service.engine.failures import PATCH_LIMIT, check_size
from service.engine.local.confine import KILLED, run_confined
from service.engine.local.confinement import Bind, Confinement, Limits
from service.engine.local.host import Host
from service.engine.local.removal import remove
from service.engine.local.trees import Tree
from service.errors import PatchError

_PATCH_S = 300.0
_MOST_BYTES = 2 * PATCH_LIMIT
"""Of one file that is written on the way: it grows in nobody's tree, so nobody watches it."""
_TOO_LARGE = KILLED + signal.SIGXFSZ
_SCRIPT = Path(places.__file__).with_name("make_patch.sh")


async def make_patch(
    host: Host, *, base: Path, tree: Tree, objects: tuple[Bind, ...], folder: Path, limits: Limits
) -> bytes:
    """The difference between `base`, a checkout with a pristine `.git`, and `tree`.

    It works in `folder`, which is made, and removed whatever comes of it.

    Raises:
        PatchError: it cannot be made.
        EngineError: there is no sandbox for it.
        OSError: nor a place to work in.
        CalledProcessError: `.git` cannot be copied there.

    """
    await anyio.Path(folder).mkdir()
    try:
        return await _make(host, base=base, tree=tree, objects=objects, folder=folder, limits=limits)
    finally:  # for whoever asks again
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(remove, folder)


async def _make(
    host: Host, *, base: Path, tree: Tree, objects: tuple[Bind, ...], folder: Path, limits: Limits
) -> bytes:
    git, made = folder / "git", folder / "patch"
    # A copy, for adding files writes to it.
    await anyio.run_process(["cp", "--archive", str(base / "workspace" / ".git"), str(git)])
    made.touch()
    host.give(made)
    what = Confinement(
        name=folder.name,
        binds=(
            Bind(base / "workspace", "/base"),
            Bind(git, "/base/.git", writable=True),
            Bind(made, "/patch", writable=True),
            *objects,
        ),
        tree=tree.shown,
        workspace="/tree",
        limits=structs.replace(limits, disk_bytes=_MOST_BYTES),
    )
    try:
        done = await run_confined(host, ["sh", "-c", await anyio.Path(_SCRIPT).read_text()], what, limit_s=_PATCH_S)
    except TimeoutError as error:
        raise PatchError(f"it was not made within {_PATCH_S:.0f} s") from error
    if done.status == _TOO_LARGE:
        raise PatchError(f"it takes a file of more than {_MOST_BYTES} bytes to make it")
    if done.status:
        raise PatchError(done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or "it cannot be made")
    check_size(made.stat().st_size)
    return await anyio.Path(made).read_bytes()
