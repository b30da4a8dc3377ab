"""What a run leaves in a folder: its log while it goes on, then a patch of each variation that has one."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from service.errors import InvalidError
from service.frames import Frame
from service.run import RunView


class KeepError(Exception):
    """What was asked to be kept cannot be written; the message says what and why."""


class Folder:
    """`log.jsonl`, and `0.patch`, `1.patch`, … of those variations that changed something."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._log: anyio.AsyncFile[bytes] | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        async with await anyio.open_file(self.path / "log.jsonl", "xb") as self._log:
            yield

    async def add(self, frames: Sequence[Frame]) -> None:
        assert self._log is not None, "it is opened"
        try:
            await self._log.write(b"".join(frame.data + b"\n" for frame in frames))
            await self._log.flush()
        except OSError as error:
            raise KeepError(f"{self.path / 'log.jsonl'}: {error.strerror}") from error

    async def put_patches(self, run: RunView, patch: Callable[[int], Awaitable[bytes]]) -> None:
        for each in run.variations:
            if each.patch_bytes:
                path = self.patch_path(each.variation_id)
                try:
                    async with await anyio.open_file(path, "xb") as file:
                        await file.write(await patch(each.variation_id))
                except OSError as error:
                    raise KeepError(f"{path}: {error.strerror}") from error

    def patch_path(self, index: int) -> Path:
        return self.path / f"{index}.patch"


def make_folder(path: Path) -> Folder:
    """Make the folder, or take an empty one. Raises `InvalidError`: what is there is never overwritten."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise InvalidError("output.not_empty", "--output", f"{path} is not empty, and nothing is overwritten")
    except OSError as error:
        raise InvalidError("output.failed", "--output", f"{path}: {error.strerror}") from error
    return Folder(path)
