"""git's folders, as files: written by us, so that they are whole whenever we are killed.

What a sandbox wrote is taken over only where it has the form that it should have; links are not followed.
"""

import os
import re
import stat
from pathlib import Path
from uuid import uuid4

from service.engine.local.host import Host

_COMMITS = re.compile(rb"(?:(?:[0-9a-f]{40}|[0-9a-f]{64})\n)*")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PACK = re.compile(r"pack-[0-9a-f]+\.(?:pack|rev|idx)")
_IN_ORDER = (".pack", ".rev", ".idx")
"""git looks for the index: it comes last."""
_REFS = "refs/aideator"
_MOST_BYTES = 16 << 20


def write_whole(file: Path, text: str) -> None:
    """Write a file that is there at once or not at all."""
    new = file.with_name(f"{file.name}.{uuid4().hex}.new")
    try:
        with new.open("w") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())  # or it is empty after the power has failed
        new.rename(file)
    finally:
        new.unlink(missing_ok=True)


def make_bare(git: Path) -> None:
    """Make an empty bare repository, or what of it is not there, and remove what a killed `write_whole` left.

    Sandboxes can read its objects.
    """
    for name in ("objects", "objects/pack", "refs"):
        (git / name).mkdir(parents=True, exist_ok=True)
        (git / name).chmod(0o755)
    for left in git.glob("*.new"):
        left.unlink()
    if not (git / "HEAD").exists():
        write_whole(git / "config", "[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
        write_whole(git / "HEAD", "ref: refs/heads/none\n")


def borrow(host: Host, git: Path, new: Path, objects: str) -> None:
    """Make a bare repository in `new`, which is the sandbox's, that has the commits of `git`, with its `objects`."""
    (new / "objects" / "info").mkdir(parents=True)
    (new / "objects" / "pack").mkdir()
    (new / "refs").mkdir()
    (new / "objects" / "info" / "alternates").write_text(f"{objects}\n")
    for name in ("HEAD", "config", "packed-refs", "shallow"):
        if (git / name).exists():
            (new / name).write_bytes((git / name).read_bytes())
    host.give_all(new)


def adopt(new: Path, git: Path, commit: str) -> None:
    """Take into `git` what was fetched into `new`, and keep `commit`."""
    if not _COMMIT.fullmatch(commit):
        raise OSError(0, f"git named no commit, but {commit[:80]!r}")
    packs = new / "objects" / "pack"
    found = [name for name in os.listdir(packs) if _PACK.fullmatch(name)]  # noqa: PTH208 -- their names
    for name in sorted(found, key=lambda name: _IN_ORDER.index(Path(name).suffix)):
        if stat.S_ISREG((packs / name).lstat().st_mode):
            (packs / name).rename(git / "objects" / "pack" / name)
    shallow = _commits_in(git / "shallow") | _commits_in(new / "shallow")
    if shallow:
        write_whole(git / "shallow", "".join(sorted(shallow)))
    kept = {*_kept(git), commit}
    lines = [f"{each} {_REFS}/{each}\n" for each in sorted(kept)]
    write_whole(git / "packed-refs", "".join(["# pack-refs with: peeled fully-peeled sorted \n", *lines]))


def _kept(git: Path) -> set[str]:
    try:
        lines = (git / "packed-refs").read_text().splitlines()
    except FileNotFoundError:
        return set()
    return {line.partition(" ")[0] for line in lines if _REFS in line}


def _commits_in(file: Path) -> set[str]:
    """The commits in a file that has nothing else."""
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW), "rb") as opened:  # noqa: PTH123 -- by descriptor
            content = opened.read(_MOST_BYTES)
    except FileNotFoundError:
        return set()
    if not _COMMITS.fullmatch(content):
        raise OSError(0, f"{file.name} has no list of commits")
    return set(content.decode().splitlines(keepends=True))
