"""A run on a terminal: its lines, each variation in its colour, and the table at the end."""

from typing import Any

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.frames import FrameName
from service.run import RunView, State

# The colours of the first AIdeator's agents, as near as a terminal has them.
_COLOURS = ("red", "yellow", "green", "blue", "magenta")
_STATES = {State.SUCCEEDED: "green", State.FAILED: "red", State.TIMED_OUT: "yellow", State.LOST: "red"}
_QUIET = {"started", "finished", "tool_returned", "usage"}


class _Shown(Struct):
    variation_id: int | None
    type: str
    content: str
    event: dict[str, Any]


class Screen:
    """Writes to `console`, which leaves colours out where it is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        self._console.print(Text(text, style="bold"))

    def wait(self) -> None:
        """Say that nothing is wrong: the first run on an engine fetches an image and builds what agents run on."""
        self._console.print(Text("  run │ still at it; the first run on an engine takes a minute or two", style="dim"))

    def show(self, name: str, data: str) -> None:
        """One frame of the stream; what only programs need is left out."""
        shown = msgspec.json.decode(data, type=_Shown)
        if (name == FrameName.AGENT_OUTPUT and shown.type in _QUIET) or shown.content == State.STARTING:
            return
        for line in shown.content.splitlines() or [""]:
            self._line(shown, line)

    def _line(self, shown: _Shown, line: str) -> None:
        if shown.variation_id is None:
            self._console.print(Text(f"  run │ {line}", style="dim"))
            return
        colour = _COLOURS[shown.variation_id % len(_COLOURS)]
        style = {"said": f"italic {colour}", "state_changed": f"bold {colour}", "tool_called": f"dim {colour}"}
        mark = {"tool_called": "» ", "said": "", "state_changed": "● "}.get(shown.type, "  ")
        text = Text(f"agent {shown.variation_id} │ ", style=colour)
        self._console.print(text.append(mark + line, style=style.get(shown.type, "default")), soft_wrap=True)

    def table(self, run: RunView) -> None:
        table = Table(title=f"run {run.run_id}: {run.state}")
        for column in ("variation", "state", "seconds", "exit", "patch"):
            table.add_column(column, justify="left" if column == "state" else "right")
        for each in run.variations:
            table.add_row(
                Text(str(each.variation_id), style=_COLOURS[each.variation_id % len(_COLOURS)]),
                Text(each.state, style=_STATES.get(each.state, "default")),
                "-" if each.seconds is None else f"{each.seconds:.1f}",
                "-" if each.exit is None else str(each.exit),
                "-" if each.patch_bytes is None else f"{each.patch_bytes} bytes",
            )
        self._console.print(table)
