"""Which repository a person at a terminal means: a URL, or a folder, which git's own server then serves."""

import os
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from msgspec import Struct

from service.errors import InvalidError
from service.git_server import git_server
from service.repo_url import AllowEntry, RepoUrlError, parse_entry

_FIRST_PORT, _PORTS = 20_000, 10_000
_OF_ANOTHER = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY"}
"""Variables that a git hook has set for the repository that it belongs to."""


class Repository(Struct, frozen=True):
    """Where it is cloned from, and the entry of `GIT_ALLOW` that admits it: whoever named it wants it."""

    url: str
    allow: AllowEntry


@contextmanager
def repository(named: str) -> Generator[Repository]:
    """Yield the repository; one in a folder is served on this machine's loopback for as long as the block lasts.

    Raises:
        InvalidError: it is neither a URL of a kind that can be cloned, nor a folder with a repository.

    """
    if "://" in named:
        yield _at(named)
        return
    top = _top(named)
    _say_what_is_left_out(top)
    digest = sha256(os.fsencode(top)).hexdigest()
    name = f"{re.sub(r'[^A-Za-z0-9_-]+', '-', top.name).strip('-') or 'repository'}-{digest[:12]}"
    # The port depends on the folder, too: engines know repositories by their URLs, and find this one in their cache.
    port = _FIRST_PORT + int(digest, 16) % _PORTS
    with TemporaryDirectory() as folder, git_server(Path(folder), port=port) as server:
        Path(folder, name).symlink_to(top)  # alone, without its neighbours
        yield _at(f"{server}/{name}")


def _at(url: str) -> Repository:
    try:
        return Repository(url, parse_entry(url))
    except RepoUrlError as error:
        raise InvalidError(error.code, "repo_url", str(error)) from error


def _top(named: str) -> Path:
    """The repository that a folder is in, or is."""
    if not Path(named).is_dir():
        why = f"{named} is neither a folder nor a URL, such as https://github.com/octocat/Hello-World"
        raise InvalidError("repo_url.scheme", "repo_url", why)
    found = _git(named, "rev-parse", "--show-toplevel")
    if found.returncode:  # a bare one has none
        found = _git(named, "rev-parse", "--absolute-git-dir")
    if found.returncode:
        said = found.stderr.decode(errors="replace").strip().removeprefix("fatal: ").partition("\n")[0]
        raise InvalidError("repo_url.path", "repo_url", f"{named}: {said}")
    return Path(os.fsdecode(found.stdout.removesuffix(b"\n")))


def _say_what_is_left_out(top: Path) -> None:
    changed = _git(str(top), "-c", "core.fsmonitor=false", "status", "--porcelain")
    if changed.stdout:
        count = changed.stdout.count(b"\n")
        what = "1 file is" if count == 1 else f"{count} files are"
        click.echo(f"{what} not committed in {top}: agents start from the commit, without that", file=sys.stderr)


def _git(folder: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environ = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER}
    return subprocess.run(["git", "-C", folder, *arguments], env=environ, capture_output=True, check=False)
