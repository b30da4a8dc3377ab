"""The files that an agent's tools may touch: those below one directory.

An agent has a shell as well, so this keeps a model from going astray and its tools from hanging; it is no jail.
"""

import os
import stat
from pathlib import Path

MOST_BYTES = 16 * 1024 * 1024
"""Of a file that is read; a larger one is for the shell."""

_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # not blocking, or opening a pipe would wait for its other end


class WorkspaceError(Exception):
    """A path that may not be touched, or a file that cannot be; the message says which and why."""


class Workspace:
    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve(strict=True)

    def read(self, path: str) -> bytes:
        """Return a file's content.

        Raises:
            WorkspaceError: it is outside, not a file, too large, or not readable.

        """
        with self._open(path, os.O_RDONLY) as file:
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                raise WorkspaceError(f"{path} is larger than {MOST_BYTES} bytes; use a command to see parts of it")
            return file.read(MOST_BYTES)

    def write(self, path: str, content: bytes) -> None:
        """Replace a file's content; the file and the directories above it are made where missing.

        Raises:
            WorkspaceError: it is outside, not a file, or not writable.

        """
        with self._open(path, os.O_WRONLY | os.O_CREAT) as file:
            file.truncate(0)
            file.write(content)

    def _open(self, path: str, flags: int):  # noqa: ANN202
        names = self._inside(path)
        try:
            directory = self._open_directory(names[:-1], create=bool(flags & os.O_CREAT))
            try:
                descriptor = os.open(names[-1], flags | _OPEN, 0o666, dir_fd=directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise WorkspaceError(f"{path}: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise WorkspaceError(f"{path} is not a regular file")
        return open(descriptor, "wb" if flags & os.O_WRONLY else "rb")  # noqa: PTH123

    def _inside(self, path: str) -> tuple[str, ...]:
        """Return the names that lead from the workspace to a path, all links in it resolved."""
        if "\0" in path:
            raise WorkspaceError("a path has no NUL")
        try:
            names = (self.directory / path).resolve().relative_to(self.directory).parts
        except (ValueError, RuntimeError, OSError) as error:  # outside; links in a circle; a name that is too long
            raise WorkspaceError(f"{path} is not inside the workspace") from error
        if not names:
            raise WorkspaceError(f"{path or 'an empty path'} is not a file")
        return names

    def _open_directory(self, names: tuple[str, ...], *, create: bool) -> int:
        """Open step by step, following nothing: a link that appears meanwhile leads nowhere."""
        directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        for name in names:
            outer = directory
            try:
                directory = _step(outer, name, create=create)
            finally:
                os.close(outer)
        return directory


def _step(outer: int, name: str, *, create: bool) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | _OPEN
    try:
        return os.open(name, flags, dir_fd=outer)
    except FileNotFoundError:
        if not create:
            raise
    os.mkdir(name, dir_fd=outer)
    return os.open(name, flags, dir_fd=outer)
