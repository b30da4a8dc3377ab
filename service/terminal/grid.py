"""A run on the whole of a terminal: a panel for each variation with its state, its seconds and its last lines."""

import math
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup
from msgspec import Struct, field
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from service.frames import Frame
from service.run import ENDED, RunView, State
from service.terminal.display import Display, Lines
from service.terminal.screen import Told, colour_of, plain, style_of, told

_REFRESH_S = 0.1
_LEAST_WIDTH, _LEAST_HEIGHT = 36, 6
"""Of a panel: five lines of text would be four too many to lose."""
_HEAD = 2
_MOST_LINES, _LAST_FRAMES = 100, 10


class _Variation(Struct):
    who: str
    lines: deque[Text] = field(default_factory=lambda: deque[Text](maxlen=_MOST_LINES))
    state: str = State.QUEUED
    began: float = 0.0
    seconds: float | None = None

    def title(self) -> str:
        seconds = time.monotonic() - self.began if self.began and self.seconds is None else self.seconds
        return f"{self.who} · {self.state}" + ("" if seconds is None else f" · {seconds:.0f} s")


class _Picture(Struct, frozen=True):
    """What the grid looks like at one moment; drawn in a thread, for as large a terminal as there is then."""

    head: Text
    panels: list[tuple[str, str, list[Text]]]
    """Title, style, lines."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = console.size
        rows, columns = shape(len(self.panels), width, height) or (1, 1)
        whole = Layout()
        grid = [Layout() for _ in range(rows)]
        whole.split_column(Layout(self.head, size=_HEAD), *grid)
        for number, row in enumerate(grid):
            panels = self.panels[number * columns : (number + 1) * columns]
            row.split_row(*(Layout(_panel(*each, (height - _HEAD) // rows - 2)) for each in panels))
        yield whole


def _panel(title: str, style: str, lines: list[Text], height: int) -> Panel:
    return Panel(Group(*lines[-max(height, 1) :]), title=Text(title), title_align="left", border_style=style)


def shape(count: int, width: int, height: int) -> tuple[int, int] | None:
    """Rows and columns of panels that leave each the most lines; None where the terminal is too small for them."""
    for columns in range(1, max(1, width // _LEAST_WIDTH) + 1):
        rows = math.ceil(count / columns)
        if width // columns >= _LEAST_WIDTH and (height - _HEAD) // rows >= _LEAST_HEIGHT:
            return rows, columns
    return None


class Grid(Display):
    """On the terminal's other screen, which is left at the end; becomes `Lines` when the terminal gets too small."""

    def __init__(self, console: Console, variations: Sequence[str], prompt: str) -> None:
        self._console = console
        self._variations = [_Variation(f"{index} {name}") for index, name in enumerate(variations)]
        self._prompt = plain(" ".join(prompt.split()))
        self._head = "preparing"
        self._last = defaultdict[int | None, deque[Frame]](lambda: deque(maxlen=_LAST_FRAMES))
        """Of each variation, and of the run itself: the other screen takes with it what it showed."""
        self._lines = Lines(console)
        self._live = Live(
            console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._is_live = False
        self._failed: OSError | None = None
        self._tasks: TaskGroup

    def fits(self) -> bool:
        return shape(len(self._variations), *self._console.size) is not None

    async def __aenter__(self) -> Self:
        self._tasks = await anyio.create_task_group().__aenter__()
        self._live.start()
        self._is_live = True
        self._tasks.start_soon(self._keep_drawing)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tasks.cancel_scope.cancel()
        try:
            await self._tasks.__aexit__(kind, error, trace)
        finally:
            self._leave()

    async def show(self, frames: Sequence[Frame]) -> None:
        if self._failed:
            raise self._failed
        for frame in frames:
            if found := told(frame.name, frame.data):
                self._last[found.variation_id].append(frame)
                self._note(found)
        if not self._is_live:
            await self._lines.show(frames)

    def _note(self, found: Told) -> None:
        if found.variation_id is None:
            self._head = found.lines()[-1]
            return
        variation = self._variations[found.variation_id]
        variation.lines.extend(Text(line, found.style, no_wrap=True, overflow="ellipsis") for line in found.lines())
        if found.type == "state_changed":
            variation.state = found.event["state"]
            variation.seconds = found.event.get("seconds")
            if variation.state in ENDED and variation.seconds is None and variation.began:
                variation.seconds = time.monotonic() - variation.began
            variation.began = variation.began or time.monotonic()

    async def _keep_drawing(self) -> None:
        """Draw, at most ten times a second, in a thread: a terminal may be slow, or stopped by Ctrl-S."""
        while self.fits():
            self._live.update(self._picture())
            try:
                await to_thread.run_sync(self._live.refresh, abandon_on_cancel=True)
            except OSError as error:  # the terminal is gone
                self._failed = error
                return
            await anyio.sleep(_REFRESH_S)
        self._leave()

    def _picture(self) -> _Picture:
        head = Text(f"{self._prompt}\n", "bold", no_wrap=True, overflow="ellipsis").append(self._head, "not bold dim")
        panels = [(each.title(), self._border(index), list(each.lines)) for index, each in enumerate(self._variations)]
        return _Picture(head, panels)

    def _border(self, index: int) -> str:
        state = self._variations[index].state
        return style_of(state) if state in ENDED else colour_of(index)

    def _leave(self) -> None:
        if self._is_live:
            self._is_live = False
            self._live.stop()

    def tell(self, text: str) -> None:
        if self._is_live:
            self._head = text
        else:
            super().tell(text)

    async def end(self, run: RunView, last: str) -> None:
        self._leave()
        await self._lines.table(run)
        failed: list[int | None] = [each.variation_id for each in run.variations if each.code]
        for who in failed or ([None] if run.code else []):
            await self._lines.show(self._last[who])
        await self._lines.say(last)
