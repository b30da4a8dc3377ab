"""Repositories of a test's own, behind a real git server on this machine."""

import os
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from service.git_server import git_server

FILES = {"README.md": "# A repository\n", "src/main.py": "print('hello')\n"}

_ENVIRON = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ["PATH"]}
_AUTHOR = ["-c", "user.name=Ann", "-c", "user.email=ann@example.invalid"]


class GitRepositories:
    """`url` is where the server is; a repository is served as soon as it is made."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self.url = url

    def make(self, name: str, files: Mapping[str, str | bytes] = FILES) -> str:
        """Make a repository with one commit on `main`, or none if there are no files; returns its URL."""
        self.git(name, "init", "--quiet", "--initial-branch=main")
        if files:
            self.commit(name, files)
        return f"{self.url}/{name}"

    def commit(self, name: str, files: Mapping[str, str | bytes]) -> str:
        """Add a commit on `main`; returns its name."""
        for path, content in files.items():
            file = self._folder / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git(name, "add", "--all")
        self.git(name, "commit", "--quiet", "--message=A commit")
        return self.git(name, "rev-parse", "HEAD").decode().strip()

    def git(self, name: str, *arguments: str) -> bytes:
        """Run git in a repository, or in a clone of the test's own; returns what it printed."""
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        command = ["git", *_AUTHOR, *arguments]
        return subprocess.run(command, cwd=folder, env=_ENVIRON, check=True, capture_output=True).stdout

    def patch_of(self, url: str, commands: str) -> bytes:
        """The patch that somebody with a clone, a shell and git would make of these commands."""
        name = f"clone-{len(list(self._folder.iterdir()))}"
        self.git(".", "clone", "--quiet", url, name)
        subprocess.run(["sh", "-ec", commands], cwd=self._folder / name, env=_ENVIRON, check=True, capture_output=True)
        self.git(name, "add", "--all")
        return self.git(name, "diff", "--cached", "--binary", "--full-index", "--find-renames", "HEAD")


@contextmanager
def git_repositories(folder: Path) -> Generator[GitRepositories]:
    with git_server(folder) as url:
        yield GitRepositories(folder, url)
