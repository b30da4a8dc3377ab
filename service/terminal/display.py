"""How a run is shown while it goes on: as NDJSON, as lines, or as a grid on a terminal that has the room."""

import os
import select
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from anyio import to_thread
from rich.console import Console

from service.frames import Frame, FrameName
from service.run import RunView
from service.terminal.interrupt import tell
from service.terminal.screen import Screen


class Display(ABC):
    """Shows frames as they come. `OSError` where nobody can be shown anything any more."""

    failure: OSError | None = None
    """Why nobody is shown anything any more."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @abstractmethod
    async def show(self, frames: Sequence[Frame]) -> None: ...

    async def wait(self) -> None:
        """Show that nothing is wrong, though nothing has come for a while."""
        return

    def tell(self, text: str) -> None:
        """Say what does not wait for its turn among the frames."""
        tell(text)

    @abstractmethod
    async def end(self, run: RunView, last: str) -> None:
        """Show what came of the run, and a last sentence."""


class Json(Display):
    """The log, an object a line; nothing else."""

    async def show(self, frames: Sequence[Frame]) -> None:
        await write(b"".join(frame.data + b"\n" for frame in frames))

    async def end(self, run: RunView, last: str) -> None:
        """Say nothing: the log's last line has it."""


class Lines(Display):
    def __init__(self, console: Console) -> None:
        self._console = console
        self._screen = Screen(console)
        self._has_begun = False

    async def show(self, frames: Sequence[Frame]) -> None:
        self._has_begun |= any(frame.name is FrameName.AGENT_OUTPUT for frame in frames)
        await self._write(lambda: [self._screen.show(frame.name, frame.data) for frame in frames])

    async def wait(self) -> None:
        if not self._has_begun:  # agents may think for long, and nobody wants a line every ten seconds of it
            await self._write(self._screen.wait)

    async def end(self, run: RunView, last: str) -> None:
        await self.table(run)
        await self.say(last)

    async def table(self, run: RunView) -> None:
        await self._write(lambda: self._screen.table(run))

    async def say(self, text: str) -> None:
        await self._write(lambda: self._screen.say(text))

    async def _write(self, show: Callable[[], object]) -> None:
        with self._console.capture() as captured:
            show()
        await write(captured.get().encode(self._console.encoding, errors="replace"))


async def write(data: bytes) -> None:
    """Write to stdout in a thread: whoever reads it may be slow, or stop, and the run goes on."""
    await to_thread.run_sync(_write_all, data, abandon_on_cancel=True)


def _write_all(data: bytes) -> None:
    # Not by way of Python's own buffer, which at the exit would try once more to write what nobody takes.
    stdout, view = sys.stdout.fileno(), memoryview(data)
    while view:
        try:
            view = view[os.write(stdout, view) :]
        except BlockingIOError:  # another program that has this terminal has set it so
            select.select([], [stdout], [])
