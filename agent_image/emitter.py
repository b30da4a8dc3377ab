"""The events on their way out: numbered in one place, each written in one call."""

import os
import time
from collections.abc import Callable
from functools import partial

from agent_image.events import LINE_LIMIT, Event, encode_line
from agent_image.parts import parts

_PART_FIELDS = 64
"""Room for `"text":"","part":…,"more":true`."""


class StdoutClosedError(Exception):
    """Nobody listens any more: the engine is gone."""


class Emitter:
    """Writes events to a file descriptor, numbered densely from 1; not for threads, for there is no lock."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._written = 0
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the harness started, by a monotonic clock, to the microsecond."""
        return round(time.monotonic() - self._started, 6)

    def emit(self, event: Callable[..., Event]) -> None:
        """Write the event that `event(n=…, at=…)` makes.

        Raises:
            StdoutClosedError: it cannot be written, now or ever.

        """
        line = encode_line(event(n=self._written + 1, at=self.seconds))
        self._written += 1
        try:
            written = os.write(self._descriptor, line)
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError as error:
            raise StdoutClosedError(str(error)) from error

    def emit_text(self, event: Callable[..., Event], text: str) -> None:
        """Write `text` in as many events as it takes, made by `event(n=…, at=…, text=…, part=…, more=…)`."""
        envelope = len(encode_line(event(n=self._written + 1_000_000, at=self.seconds)))
        for part in parts(text, LINE_LIMIT - envelope - _PART_FIELDS):
            self.emit(partial(event, text=part.text, part=part.part, more=part.more))
