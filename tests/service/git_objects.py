"""git's objects, made byte by byte, in a repository that is served."""

import os
from pathlib import Path

from tests.git_repositories import GitRepositories


class Objects:
    """Makes objects that git would not."""

    def __init__(self, git: GitRepositories) -> None:
        self._git = git
        self.url = git.make("repo")
        self.blob = self._said("hash-object", "-w", "README.md")

    def tree(self, *entries: tuple[str, str, str]) -> str:
        """Mode, name and object of each, as they are."""
        content = b"".join(
            b"%s %s\0%s" % (mode.encode(), os.fsencode(name), bytes.fromhex(at)) for mode, name, at in entries
        )
        return self.make("tree", content)

    def link(self, to: str) -> str:
        return self.make("blob", to.encode())

    def make(self, kind: str, content: bytes) -> str:
        file = Path(self._said("rev-parse", "--absolute-git-dir")) / "made"
        file.write_bytes(content)
        return self._said("hash-object", "-t", kind, "-w", "--literally", "--no-filters", str(file))

    def publish(self, tree: str) -> str:
        """Make a commit of a tree the only one of the branch; returns the URL."""
        return self.publish_commit(self._said("commit-tree", "-m", "a tree", tree))

    def publish_commit(self, commit: str) -> str:
        self._git.git("repo", "update-ref", "refs/heads/main", commit)
        return self.url

    def _said(self, *arguments: str) -> str:
        return self._git.git("repo", *arguments).decode().strip()
