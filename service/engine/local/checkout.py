"""A checkout on this machine: the tree of a commit as plain files, and a small `.git` that borrows its objects."""

from pathlib import Path

import anyio
from anyio import to_thread

from service.engine.local.confinement import WORKSPACE, Bind, Confinement, Limits
from service.engine.local.git import git_command, git_environ, run_git
from service.engine.local.host import Host
from service.engine.local.removal import empty
from service.errors import PrepareError

OBJECTS = "/run/aideator/objects"
"""Where sandboxes are shown the objects of the repository."""

_WRITE_AND_WEIGH = '"$@" && exec du -sk .'
_KIB = 1 << 10
_GIB = 1 << 30
# Copies of the checkout, and layers over it, have other inodes and owners: git must not look at every file for that.
_CONFIG = """\
[core]
	repositoryformatversion = 0
	filemode = true
	bare = false
	logallrefupdates = true
	checkStat = minimal
	trustctime = false
"""


async def check_out(host: Host, git: Path, commit: str, folder: Path, *, limits: Limits, limit_s: float) -> None:
    """Write the tree of `commit` into `folder`, as `Repository.check_out` says."""
    try:
        await to_thread.run_sync(_make_git, host, git, commit, folder / ".git")
        await _write_tree(host, git, folder, limits, limit_s)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(empty, folder)
        raise


async def _write_tree(host: Host, git: Path, folder: Path, limits: Limits, limit_s: float) -> None:
    what = Confinement(
        name="checkout",
        binds=(Bind(folder, WORKSPACE, writable=True), Bind(git / "objects", OBJECTS)),
        workdir=WORKSPACE,
        environ=git_environ(),
        limits=limits,
    )
    command = ["sh", "-c", _WRITE_AND_WEIGH, "sh", *git_command(["read-tree", "--reset", "-u", "HEAD"])]
    weighed = await run_git(host, command, what, grows=folder, limit_s=limit_s)
    if int(weighed.split()[0]) * _KIB > limits.disk_bytes > 0:  # it was too fast for whoever watches
        raise PrepareError(
            "clone.too_large", f"its files take more than {limits.disk_bytes / _GIB:.3g} GiB of the disk"
        )


def _make_git(host: Host, git: Path, commit: str, new: Path) -> None:
    for name in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
        (new / name).mkdir(parents=True)
    (new / "objects" / "info" / "alternates").write_text(f"{OBJECTS}\n")
    (new / "config").write_text(_CONFIG)
    (new / "HEAD").write_text(f"{commit}\n")
    if (git / "shallow").exists():
        (new / "shallow").write_bytes((git / "shallow").read_bytes())
    host.give(new)
    host.give_all(new)
