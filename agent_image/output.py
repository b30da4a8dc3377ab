"""A command's output on its way to the log: live at first, then counted, and its end again."""

import time
from functools import partial

import msgspec

from agent_image.emitter import Emitter
from agent_image.events import Output, Truncated
from agent_image.excerpt import Excerpt
from agent_image.lines import Flush, LineSplitter, Piece
from agent_image.tail import Stream, Tail

MB = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much output is shown. A line counts as its bytes and `per_line` more, as it does on the wire.

    Without that, four megabytes of empty lines would be four hundred on the wire.
    """

    live: int = 4 * MB
    """Of each command, as it is printed."""
    tail: int = 4 * MB
    """Of each command, when it has ended."""
    total: int = 64 * MB
    """Of all commands."""
    per_line: int = 100
    notice_s: float = 1.0
    """Time between two `truncated` of a command."""


class Budget:
    """What all commands together may still show."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.left = limits.total

    @property
    def is_spent(self) -> bool:
        """True if no more than a thousandth is left: lines are not cut to use up the last of it."""
        return self.left <= self.limits.total // 1000


class CommandOutput:
    """The output of one command. What is emitted, and what the last `truncated` counts, add up to what was fed."""

    def __init__(self, emitter: Emitter, budget: Budget) -> None:
        self._emitter = emitter
        self._budget = budget
        self._limits = budget.limits
        self._live_left = min(self._limits.live, budget.left)
        self._splitters: dict[Stream, LineSplitter] = {"stdout": LineSplitter(), "stderr": LineSplitter()}
        self._withheld: Tail | None = None
        self._noticed = 0
        self._next_notice = 0.0
        self.excerpt = Excerpt()

    def feed(self, stream: Stream, chunk: bytes) -> None:
        self.excerpt.feed(chunk)
        if self._withheld is not None:
            self._withheld.push(stream, chunk)
            self._notice(self._withheld)
            return
        self._splitters[stream].push(chunk)
        self._show(stream, Flush.WAIT)

    def is_waiting(self, stream: Stream) -> bool:
        """Say whether there is something that `idle` would show."""
        if self._withheld is not None:
            return self._withheld.pushed > self._noticed
        return self._splitters[stream].is_waiting

    def idle(self, stream: Stream) -> None:
        """Show what waits, for nothing came for a while: a prompt, a progress bar."""
        if self._withheld is not None:
            self._notice(self._withheld)
        else:
            self._show(stream, Flush.IDLE)

    def close(self) -> None:
        """Show what is left; nothing may be fed after it."""
        for stream in self._splitters:
            self._show(stream, Flush.END)
        if self._withheld is None:
            return
        segments = self._withheld.last(min(self._limits.tail, self._budget.left))
        lost = self._withheld.pushed - sum(len(data) for _, data in segments)
        self._emitter.emit(partial(Truncated, withheld_bytes=lost))
        for stream, data in segments:
            self._splitters[stream].push(data)
            self._show_tail(stream, Flush.WAIT)
        for stream in self._splitters:
            self._show_tail(stream, Flush.END)

    def _show(self, stream: Stream, flush: Flush) -> None:
        splitter = self._splitters[stream]
        while self._withheld is None and (piece := splitter.take(flush)):
            cost = piece.size + self._limits.per_line
            if cost > self._live_left:
                self._withhold(stream, piece)
                return
            self._live_left -= cost
            self._emit(stream, piece)

    def _show_tail(self, stream: Stream, flush: Flush) -> None:
        while piece := self._splitters[stream].take(flush):
            self._emit(stream, piece)

    def _emit(self, stream: Stream, piece: Piece) -> None:
        self._budget.left -= piece.size + self._limits.per_line
        fields = partial(Output, text=piece.text, part=piece.part, more=piece.more)
        self._emitter.emit(partial(fields, stream=stream, data=piece.data))

    def _withhold(self, stream: Stream, piece: Piece) -> None:
        self._withheld = Tail(self._limits.tail, per_line=self._limits.per_line)
        self._withheld.push(stream, piece.printed)
        for name in sorted(self._splitters, key=stream.__ne__):  # this stream's rest belongs right after the piece
            self._withheld.push(name, self._splitters[name].rest())
        self._next_notice = time.monotonic() + self._limits.notice_s

    def _notice(self, withheld: Tail) -> None:
        if (now := time.monotonic()) < self._next_notice:
            return
        self._next_notice = now + self._limits.notice_s
        self._noticed = withheld.pushed
        self._emitter.emit(partial(Truncated, withheld_bytes=withheld.pushed))
