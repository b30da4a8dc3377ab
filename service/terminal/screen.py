"""A run as lines: each variation in its colour, and the table at the end."""

import re
from typing import Any

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent_image.events import Outcome
from service.frames import FrameName
from service.run import RunView, State

# The colours of the first AIdeator's agents, as near as a terminal has them.
_COLOURS = ("red", "yellow", "green", "blue", "magenta")
_STATES = {State.SUCCEEDED: "green", State.FAILED: "red", State.TIMED_OUT: "yellow", State.LOST: "red"}
_QUIET = {"started", "finished", "tool_returned", "usage"}
_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Told(Struct):
    """One frame, as far as people are shown it."""

    variation_id: int | None
    type: str
    content: str
    event: dict[str, Any]

    @property
    def style(self) -> str:
        colour = colour_of(self.variation_id)
        styles = {"said": f"italic {colour}", "state_changed": f"bold {colour}", "tool_called": f"dim {colour}"}
        return styles.get(self.type, "default") if colour else "dim"

    def lines(self) -> list[str]:
        mark = {"tool_called": "» ", "said": "", "state_changed": "● "}.get(self.type, "  ")
        mark = "" if self.variation_id is None else mark
        return [mark + plain(line) for line in self.content.splitlines() or [""]]


def told(name: str, data: str | bytes) -> Told | None:
    """Read a frame; None for what only programs need."""
    found = msgspec.json.decode(data, type=Told)
    is_quiet = name == FrameName.AGENT_OUTPUT and found.type in _QUIET
    is_end = found.event.get("outcome") == Outcome.SUBMITTED  # of the setup, or the gateway
    return None if is_quiet or is_end or found.content == State.STARTING else found


def colour_of(variation_id: int | None) -> str:
    return "" if variation_id is None else _COLOURS[variation_id % len(_COLOURS)]


def style_of(state: str) -> str:
    return _STATES.get(State(state), "default")


def plain(line: str) -> str:
    """Without what a terminal would obey: a line comes from an agent, and shows itself alone."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", _SEQUENCES.sub("", line))


class Screen:
    """Writes to `console`, which leaves colours out where it is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        self._console.print(Text(text, style="bold"), soft_wrap=True)

    def wait(self) -> None:
        """Say that nothing is wrong: at first, what agents run on is fetched, and built."""
        self._console.print(Text("  run │ still at it; a first run may have a minute or two to fetch", style="dim"))

    def show(self, name: str, data: str | bytes) -> None:
        """One frame of the stream; what only programs need is left out."""
        if found := told(name, data):
            who = "  run │ " if found.variation_id is None else f"agent {found.variation_id} │ "
            for line in found.lines():
                text = Text(who, style=colour_of(found.variation_id) or "dim")
                self._console.print(text.append(line, style=found.style), soft_wrap=True)

    def table(self, run: RunView) -> None:
        self.say(f"run {run.run_id}: {run.state}")
        table = Table()
        for column in ("variation", "state", "seconds", "exit", "patch"):
            table.add_column(column, justify="left" if column in {"variation", "state"} else "right", overflow="fold")
        for each in run.variations:
            table.add_row(
                Text(f"{each.variation_id} {each.agent} {each.model}".strip(), style=colour_of(each.variation_id)),
                Text(each.state, style=style_of(each.state)),
                "-" if each.seconds is None else f"{each.seconds:.1f}",
                "-" if each.exit is None else str(each.exit),
                "-" if each.patch_bytes is None else f"{each.patch_bytes} bytes",
            )
        self._console.print(table)
