"""What an agent that is a program tells of its work, on its way to the log."""

from collections.abc import Callable
from functools import partial

import msgspec

from agent_image.emitter import Emitter
from agent_image.events import Event, Outcome, Output, ToolCalled, ToolReturned, Usage, Waiting
from agent_image.output import Budget, CommandOutput
from agent_image.result import Ended
from agent_image.speech import Speech
from agent_image.tail import Stream

_LONGEST_LINE = 16 * 1024 * 1024
_LONGEST_NAME = 100


class Transcript:
    """Turns what one agent says and does into events, and ends the agent when it has printed all that it may."""

    def __init__(self, emitter: Emitter, budget: Budget, *, stop: Callable[[], None]) -> None:
        self._emitter = emitter
        self._budget = budget
        self._stop = stop
        self._speech = Speech(emitter)
        self.gave_up: Ended | None = None
        """Why the agent was stopped, if it was."""

    def said(self, piece: str, *, is_thought: bool = False) -> None:
        """Add to the text that the model says or thinks; it ends with the next event of another kind, or `close`."""
        if self._may_tell(piece):
            add = self._speech.thought if is_thought else self._speech.text
            add(piece)

    def called(self, call: str, tool: str, arguments: str) -> None:
        self._tell(partial(ToolCalled, call=call[:_LONGEST_NAME], tool=tool[:_LONGEST_NAME]), arguments)

    def returned(self, call: str, text: str, *, ok: bool) -> None:
        self._tell(partial(ToolReturned, call=call[:_LONGEST_NAME], ok=ok), text)

    def noted(self, text: str) -> None:
        """Show what the program says for itself."""
        self._tell(partial(Output, stream="stderr"), f"{text}\n")

    def used(self, usage: Callable[..., Usage]) -> None:
        self._speech.close()
        self._emitter.emit(usage)

    def waiting(self, reason: str, for_s: float) -> None:
        self._speech.close()
        self._emitter.emit(partial(Waiting, reason=reason, for_s=for_s))

    def give_up(self, reason: str, code: str = "") -> None:
        """Stop the agent, with what it started."""
        self.gave_up = self.gave_up or Ended(Outcome.GAVE_UP, reason, code)
        self._stop()

    def close(self) -> None:
        """End the text that was begun."""
        self._speech.close()

    def _tell(self, event: Callable[..., Event], text: str) -> None:
        if self._may_tell(text):
            self._speech.close()
            self._emitter.emit_text(event, text)

    def _may_tell(self, text: str) -> bool:
        """Take what `text` costs from the budget, all but what is kept for output that is no JSON."""
        limits = self._budget.limits
        cost = len(text) + limits.per_line
        if cost > self._budget.left - limits.live - limits.tail:
            self.give_up("the agent has printed all that it may")
            return False
        self._budget.left -= cost
        return True


class JsonLines(CommandOutput):
    """The output of a program that prints a JSON object a line.

    A line that `read` does not know, or that is too long for it, is shown as it was printed.
    """

    def __init__(
        self, emitter: Emitter, budget: Budget, *, read: Callable[[bytes, Transcript], None], transcript: Transcript
    ) -> None:
        super().__init__(emitter, budget)
        self._read = read
        self._transcript = transcript
        self._open = bytearray()
        self._is_cut = False

    def feed(self, stream: Stream, chunk: bytes) -> None:
        if stream != "stdout":
            super().feed(stream, chunk)
            return
        self._open += chunk
        if b"\n" in chunk:
            *lines, self._open = self._open.split(b"\n")
            for line in lines:
                self._take(bytes(line) + b"\n")
        if len(self._open) > _LONGEST_LINE:
            super().feed("stdout", bytes(self._open))
            self._open.clear()
            self._is_cut = True

    def close(self) -> None:
        if self._open:
            self._take(bytes(self._open))
        self._transcript.close()
        super().close()

    def _take(self, line: bytes) -> None:
        if self._is_cut or not self._is_read(line):
            super().feed("stdout", line)
        self._is_cut = False

    def _is_read(self, line: bytes) -> bool:
        try:
            self._read(line, self._transcript)
        # Bad UTF-8 within a string is not a DecodeError of msgspec's, nor are a thousand nested brackets.
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return True
