"""The tools of the `git` server: what happened in the repository, and commits of one's own."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from agent_image.mcp.git import Git
from agent_image.tools import ToolError

_REF = re.compile(r"(?!-)[^\x00-\x1f\x7f]+")
"""A branch, tag, commit or the like, and no option."""
_DIFF = ("--no-ext-diff", "--no-textconv", "--no-color")
_LOG = ("--no-color", "--date=iso-strict", "--format=%h %ad %an%d%n    %s")
_NOBODY = ("-c", "user.name=AIdeator", "-c", "user.email=agent@aideator.invalid")

Ref = Annotated[str, Field(max_length=1000, description="branch, tag, commit, or the like of HEAD~2")]
Paths = Annotated[Sequence[str], Field(max_length=1000, description="files or directories; all if empty")]
Named = Annotated[Sequence[str], Field(min_length=1, max_length=1000, description="files or directories")]
Staged = Annotated[bool, Field(description="what is staged instead of what is not")]


class GitTools:
    """Its public methods are the tools; their names, signatures and docstrings are what agents see."""

    def __init__(self, directory: Path) -> None:
        self._git = Git(directory)

    async def status(self) -> str:
        """Show the branch, what is staged, what is changed and what is untracked."""
        return await self._git.run("status", "--short", "--branch", "--untracked-files=all")

    async def diff(self, ref: Ref = "", paths: Paths = (), *, staged: Staged = False) -> str:
        """Show the changes since a ref, or without one those that are not staged."""
        which = ["--cached"] if staged else []
        return await self._git.run("diff", *_DIFF, *which, *_refs(ref), "--", *self._inside(paths))

    async def log(self, ref: Ref = "HEAD", paths: Paths = (), count: Annotated[int, Field(ge=1, le=1000)] = 20) -> str:
        """Show the latest commits, or the latest that changed some paths."""
        return await self._git.run("log", *_LOG, f"--max-count={count}", *_refs(ref), "--", *self._inside(paths))

    async def show(self, ref: Ref = "HEAD", paths: Paths = ()) -> str:
        """Show a commit and its changes, or a file as it was: HEAD~2:src/main.py."""
        return await self._git.run("show", *_DIFF, *_refs(ref), "--", *self._inside(paths))

    async def blame(
        self,
        path: str,
        first: Annotated[int, Field(ge=1)] = 1,
        last: Annotated[int, Field(ge=1)] | None = None,
        ref: Ref = "",
    ) -> str:
        """Show the commit that each line of a file is from."""
        lines = f"-L{first},{last or ''}"
        return await self._git.run(
            "blame", "--no-textconv", "--date=short", lines, *_refs(ref), "--", *self._inside([path])
        )

    async def branches(self) -> str:
        """List the branches, remote ones too, with their latest commits; a star marks the current one."""
        return await self._git.run("branch", "--list", "--all", "--verbose", "--no-color", "--no-column")

    async def add(self, paths: Named) -> str:
        """Stage paths as they are now, or as gone, and show the status."""
        await self._git.run("add", "--all", "--", *self._inside(paths))
        return await self.status()

    async def commit(self, message: Annotated[str, Field(min_length=1, max_length=100_000)]) -> str:
        """Commit what is staged."""
        who = () if await self._has_identity() else _NOBODY
        return await self._git.run(*who, "commit", "--no-verify", "--no-gpg-sign", f"--message={message}")

    async def restore(self, paths: Named, ref: Ref = "", *, staged: Staged = False) -> str:
        """Set paths back to what is staged, or to a ref; with `staged`, what is staged of them, to HEAD or to a ref."""
        where = ["--staged"] if staged else []
        source = [f"--source={known}" for known in _refs(ref)]
        await self._git.run("restore", *where, *source, "--", *self._inside(paths))
        return await self.status()

    async def _has_identity(self) -> bool:
        try:
            await self._git.run("var", "GIT_COMMITTER_IDENT")
        except ToolError:
            return False
        return True

    def _inside(self, paths: Sequence[str]) -> list[str]:
        """Return paths relative to the repository; given one outside, git may compare any files of the machine."""
        return [self._relative(path) for path in paths]

    def _relative(self, path: str) -> str:
        full = Path(os.path.normpath(self._git.directory / path))
        if "\0" in path or not full.is_relative_to(self._git.directory):
            raise ToolError(f"{path!r} is not inside the repository")
        return str(full.relative_to(self._git.directory))


def _refs(ref: str) -> list[str]:
    """Return the ref as arguments: none if it is empty."""
    if ref and not _REF.fullmatch(ref):
        raise ToolError(f"{ref!r} is no ref")
    return [ref] if ref else []
