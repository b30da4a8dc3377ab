"""Which repository a person at a terminal means: a URL, or a folder, which git's own server then serves."""

import os
import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from service.errors import InvalidError
from service.git_server import git_server
from service.repo_url import AllowEntry, RepoUrlError, parse_entry
from service.terminal.folder import count_uncommitted, git_folder

_FIRST_PORT, _PORTS = 20_000, 10_000
_SECRET_BYTES = 32
_OF_SSH = re.compile(r"(?:[\w.-]+@)?(?P<host>[\w-]+(?:\.[\w-]+)+):(?P<path>[^/\\].*)")


class Repository(Struct, frozen=True):
    """Where it is cloned from, and the entry of `GIT_ALLOW` that admits it: whoever named it wants it."""

    url: str
    allow: AllowEntry
    left_out: str = ""
    """What agents will not see of a folder: a sentence."""


@contextmanager
def repository(named: str, home: Path) -> Generator[Repository]:
    """Yield the repository; one in a folder is served on this machine's loopback for as long as the block lasts.

    Every user of this machine reaches the loopback, hence the path there is one that nobody can guess. It depends on a
    secret kept in `home`, and stays the same: engines know repositories by their URLs, and find it cached.

    Raises:
        InvalidError: it is neither a URL of a kind that can be cloned, nor a folder with a repository.

    """
    if "://" in named:
        yield _at(named)
        return
    _check_folder(named)
    served = git_folder(named)
    digest = blake2b(os.fsencode(served), key=_secret(home), digest_size=20).hexdigest()
    top = served.parent if served.name == ".git" else Path(named).absolute()
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", top.name).strip("-") or "repository"
    port = _FIRST_PORT + int(digest[:8], 16) % _PORTS
    with TemporaryDirectory() as folder, git_server(Path(folder), port=port) as server:
        Path(folder, digest[8:]).mkdir()
        Path(folder, digest[8:], name).symlink_to(served)  # alone, without its neighbours
        yield _at(f"{server}/{digest[8:]}/{name}", _left_out(named, top))


def _at(url: str, left_out: str = "") -> Repository:
    try:
        return Repository(url, parse_entry(url), left_out)
    except RepoUrlError as error:
        hint = ", or a folder without file://" if url.startswith("file://") else ""
        raise InvalidError(error.code, "--repo", f"{error}{hint}") from error


def _check_folder(named: str) -> None:
    path = Path(named)
    if path.is_dir():
        return
    if path.exists():
        raise InvalidError("repo_url.path", "--repo", f"{named} is a file, and no folder with a repository")
    why = f"{named} is neither a folder nor a URL, such as https://github.com/octocat/Hello-World"
    if found := _OF_SSH.fullmatch(named):
        why = f"{named} is a place of ssh's; over https it is https://{found['host']}/{found['path']}"
    raise InvalidError("repo_url.scheme", "--repo", why)


def _secret(home: Path) -> bytes:
    """Ours alone, and made once: whoever comes second takes what the first has made."""
    path = home / "served.secret"
    try:
        home.mkdir(parents=True, exist_ok=True)
        made = home / f"served.{secrets.token_hex(8)}"
        with suppress(FileExistsError):
            if not path.exists():
                with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(secrets.token_bytes(_SECRET_BYTES))
                try:
                    path.hardlink_to(made)
                finally:
                    made.unlink()
        found = path.read_bytes()
    except OSError:
        found = b""
    # Without one to keep, one for this run: its cache begins cold.
    return found if len(found) == _SECRET_BYTES else secrets.token_bytes(_SECRET_BYTES)


def _left_out(named: str, top: Path) -> str:
    count = count_uncommitted(named)
    what = "1 file is" if count == 1 else f"{count} files are"
    return f"{what} not committed in {top}: agents start from the commit, without that" if count else ""
