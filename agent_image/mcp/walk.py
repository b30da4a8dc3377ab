"""What is below a directory, in order and without following links, and which of it a pattern describes."""

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

_SKIPPED = ".git"


class Entry(NamedTuple):
    path: str
    """With a slash at its end if it is a directory."""
    is_file: bool
    """True for a regular file; a link is none."""


def walk(directory: Path, *, above: str = "", depth: int | None = None) -> Iterator[Entry]:
    """Yield what is below `directory`, down to `depth` levels, with `above` before its path; `.git` is left out.

    Raises:
        OSError: it is no directory, or cannot be read; one below it that cannot be read seems empty.

    """
    levels = [(above, iter(_sorted(directory)))]
    while levels:
        above, entries = levels[-1]
        for entry in entries:
            path = above + entry.name
            if not entry.is_dir(follow_symlinks=False):
                yield Entry(path, entry.is_file(follow_symlinks=False))
            elif entry.name != _SKIPPED:
                yield Entry(f"{path}/", is_file=False)
                if depth is None or len(levels) < depth:
                    levels.append((f"{path}/", iter(_sorted_or_none(entry.path))))
                    break
        else:
            levels.pop()


def matches(path: str, pattern: str) -> bool:
    """Say whether a path is one that `pattern` describes: `*.py` in any directory, or `src/**/*.py` from the top."""
    names = path.rstrip("/").split("/")
    return _match(names, pattern.split("/")) if "/" in pattern else fnmatchcase(names[-1], pattern)


def _sorted(directory: Path | str) -> list[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _sorted_or_none(directory: str) -> list[os.DirEntry[str]]:
    try:
        return _sorted(directory)
    except OSError:
        return []


def _match(names: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns:
        return not names
    if patterns[0] == "**":
        return any(_match(names[skipped:], patterns[1:]) for skipped in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], patterns[0]) and _match(names[1:], patterns[1:])
