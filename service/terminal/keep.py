"""What a run leaves in a folder: its log while it goes on, then a patch of each variation that has one."""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from anyio import to_thread

from service.errors import InvalidError
from service.frames import Frame
from service.run import RunView


class KeepError(Exception):
    """What was asked to be kept cannot be written; the message says what and why."""


class Folder:
    """`log.jsonl`, and `0.patch`, `1.patch`, … of those variations that changed something.

    A disk that is full ends no run: what can be written is, and `failure` has the first that could not be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failure: KeepError | None = None
        self.patches: dict[int, Path] = {}
        """Those that were written, by variation."""
        self._log = -1

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        path = self.path / "log.jsonl"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except OSError as error:
            raise InvalidError("output.failed", "--output", f"{path}: {error.strerror}") from error
        try:
            yield
        finally:
            with suppress(OSError):  # what was written has been said to be
                os.close(self._log)

    async def add(self, frames: Sequence[Frame]) -> None:
        try:
            if self.failure is None:
                await to_thread.run_sync(_write, self._log, b"".join(frame.data + b"\n" for frame in frames))
        except OSError as error:
            self._note(self.path / "log.jsonl", error)

    async def put_patches(self, run: RunView, patch: Callable[[int], Awaitable[bytes]]) -> None:
        for each in run.variations:
            if each.patch_bytes:
                path = self.path / f"{each.variation_id}.patch"
                try:
                    await to_thread.run_sync(_write_whole, path, await patch(each.variation_id))
                    self.patches[each.variation_id] = path
                except OSError as error:
                    self._note(path, error)

    def _note(self, path: Path, error: OSError) -> None:
        self.failure = self.failure or KeepError(f"{path}: {error.strerror}")


def check_folder(path: Path) -> None:
    """Raise `InvalidError` where no folder can be made; an empty one will do. What is there is never overwritten."""
    try:
        if path.exists() and any(path.iterdir()):
            raise InvalidError("output.not_empty", "--output", f"{path} is not empty, and nothing is overwritten")
    except OSError as error:
        raise InvalidError("output.failed", "--output", f"{path}: {error.strerror}") from error
    there = next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise InvalidError("output.failed", "--output", f"{path} is no place for a folder")


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _write_whole(path: Path, data: bytes) -> None:
    """All of it is there, or nothing."""
    part = path.with_name(f"{path.name}.part")
    try:
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            _write(file, data)
        finally:
            os.close(file)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
