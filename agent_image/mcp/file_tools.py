"""The tools of the `files` server: look around in the workspace, search it, and change it."""

import os
import re
import shutil
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated

from pydantic import Field

from agent_image.excerpt import shortened
from agent_image.mcp.walk import Entry, matches, walk
from agent_image.tools import Edit, Read, ToolError, Write, use_files
from agent_image.workspace import Workspace, WorkspaceError

_MOST_FOUND = 1000
_LONGEST_LINE = 300
_BINARY_WITHIN = 8192
"""Bytes at a file's beginning; a NUL among them, and it is no text."""

FilePath = Annotated[str, Field(max_length=4096, description="relative to the workspace, or absolute and inside it")]
Pattern = Annotated[str, Field(min_length=1, max_length=1000, description="`*.py` anywhere, or `src/**/*.py`")]
From1 = Annotated[int, Field(ge=1)]


class FileTools:
    """Its public methods are the tools; their names, signatures and docstrings are what agents see."""

    def __init__(self, workspace: Workspace, *, limit_s: float = 20.0) -> None:
        self._workspace = workspace
        self._limit_s = limit_s
        """For a call that looks through directories."""

    async def list(self, path: FilePath = ".", depth: Annotated[int, Field(ge=1, le=100)] = 1) -> str:
        """List what is in a directory, and with more depth below it; directories end with a slash."""
        with _limit(self._limit_s):
            return _lines(entry.path for entry in self._walk(path, depth))

    async def find(self, pattern: Pattern, path: FilePath = ".") -> str:
        """Find files and directories, all or those below one directory, by their names."""
        with _limit(self._limit_s):
            return _lines(entry.path for entry in self._walk(path) if matches(entry.path, pattern))

    async def search(
        self,
        text: Annotated[str, Field(min_length=1, max_length=1000)],
        path: FilePath = ".",
        pattern: Pattern = "*",
        *,
        regex: Annotated[bool, Field(description="text is a regular expression of Python's")] = False,
        ignore_case: bool = False,
    ) -> str:
        """Search the lines of a text file, or of those below a directory; answers `path:line: text`."""
        try:
            sought = re.compile(text if regex else re.escape(text), re.IGNORECASE if ignore_case else 0)
        except re.error as error:
            raise ToolError(f"{text!r} is no regular expression: {error}") from error
        with _limit(self._limit_s):
            return _lines(self._hits(sought, path, pattern))

    async def read(self, path: FilePath, offset: From1 = 1, limit: From1 = 2000) -> str:
        """Read a text file, or some of its lines."""
        return use_files(self._workspace, Read(path, offset, limit))

    async def write(self, path: FilePath, content: str) -> str:
        """Write a file, whole; directories are made where missing."""
        return use_files(self._workspace, Write(path, content))

    async def edit(self, path: FilePath, old: Annotated[str, Field(min_length=1)], new: str) -> str:
        """Replace a text in a file that occurs there exactly once."""
        return use_files(self._workspace, Edit(path, old, new))

    async def move(self, path: FilePath, to: FilePath) -> str:
        """Move or rename a file or directory to where nothing is; directories are made where missing."""
        source, target = self._entry(path), self._entry(to)
        if target.is_symlink() or target.exists():
            raise ToolError(f"{to} exists already")
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        return f"moved {path} to {to}"

    async def delete(self, path: FilePath, *, recursive: bool = False) -> str:
        """Delete a file or link, an empty directory, or with `recursive` a directory and all in it."""
        entry = self._entry(path)
        if entry.is_symlink() or not entry.is_dir():
            entry.unlink()
        elif recursive:
            shutil.rmtree(entry)
        else:
            entry.rmdir()
        return f"deleted {path}"

    def _walk(self, path: str, depth: int | None = None) -> Iterator[Entry]:
        """Walk a directory, or the one file that is named instead; paths are relative to the workspace."""
        top = self._inside(self._workspace.directory / path, path)
        below = str(top.relative_to(self._workspace.directory))
        if top.is_file():
            return iter([Entry(below, is_file=True)])
        return walk(top, above="" if below == "." else f"{below}/", depth=depth)

    def _hits(self, sought: re.Pattern[str], path: str, pattern: str) -> Iterator[str]:
        for entry in self._walk(path):
            if entry.is_file and matches(entry.path, pattern):
                for number, line in enumerate(self._text(entry.path).splitlines(), start=1):
                    if sought.search(line):
                        yield f"{entry.path}:{number}: {line[:_LONGEST_LINE]}"

    def _text(self, path: str) -> str:
        """Return a file's text; none if it is binary, too large, or gone."""
        try:
            content = self._workspace.read(path)
        except WorkspaceError:
            return ""
        return "" if b"\0" in content[:_BINARY_WITHIN] else content.decode(errors="replace")

    def _entry(self, path: str) -> Path:
        """Return where something is or may be. Links that lead there are resolved, but not itself, if it is one."""
        given = Path(os.path.normpath(self._workspace.directory / path))
        return self._inside(given.parent, path) / given.name

    def _inside(self, full: Path, path: str) -> Path:
        if "\0" in path:
            raise ToolError("a path has no NUL")
        try:
            resolved = full.resolve()
            resolved.relative_to(self._workspace.directory)
        except (ValueError, RuntimeError) as error:  # outside; links in a circle
            raise ToolError(f"{path!r} is not inside the workspace") from error
        return resolved


def _lines(found: Iterator[str]) -> str:
    lines = list(islice(found, _MOST_FOUND + 1))
    more = [f"[more than {_MOST_FOUND}; ask for less]"] if len(lines) > _MOST_FOUND else []
    return shortened("\n".join([*lines[:_MOST_FOUND], *more]) or "nothing")


@contextmanager
def _limit(limit_s: float) -> Generator[None]:
    """End what takes too long, a regular expression that never comes to its end included; in the main thread only."""

    def stop(*_: object) -> None:
        raise ToolError(f"it took more than {limit_s:g} s; look for something narrower")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
