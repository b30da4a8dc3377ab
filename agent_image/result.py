"""How a harness ended, for those who cannot read events: a small file of JSON."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import msgspec

from agent_image.events import EXIT_STATUS, Outcome
from agent_image.gateway.totals import Totals

LONGEST_REASON = 1000
"""Characters of a reason; the rest is cut off."""

_NEW = "result.json.new"


class Ended(msgspec.Struct, frozen=True):
    """The outcome of an agent's work, and what a person needs to understand it."""

    outcome: Outcome
    reason: str = ""
    code: str = ""
    """The same for programs, where there is more to say than the outcome."""


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    outcome: Outcome
    exit: int
    seconds: float
    code: str = ""
    reason: str = ""
    """As in `Ended`; left out where there is none."""
    usage: Totals | None = None
    """What its model calls took; left out where it asked no model, or that is not known."""


def write_result(path: Path, ended: Ended, seconds: float, usage: Totals | None = None) -> None:
    """Write the result whole or not at all, whatever an agent may have put where it belongs.

    Raises:
        OSError: it cannot be written.

    """
    # A reason may quote a file's name that is not UTF-8.
    reason = ended.reason[:LONGEST_REASON].encode(errors="replace").decode()
    result = Result(ended.outcome, EXIT_STATUS[ended.outcome], seconds, ended.code, reason, usage)
    content = msgspec.json.encode(result) + b"\n"
    directory = _real_directory(path.parent)
    try:
        _remove(_NEW, directory)
        new = os.open(_NEW, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=directory)
        with open(new, "wb") as file:  # noqa: PTH123 a descriptor, not a path
            file.write(content)
        with suppress(IsADirectoryError):
            os.replace(_NEW, path.name, src_dir_fd=directory, dst_dir_fd=directory)
            return
        _remove(path.name, directory)
        os.replace(_NEW, path.name, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        os.close(directory)


def _real_directory(path: Path) -> int:
    """Open a directory that is one: an agent's link or file in its place is removed, not followed."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        path.unlink()
    path.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _remove(name: str, directory: int) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        shutil.rmtree(name, dir_fd=directory)
