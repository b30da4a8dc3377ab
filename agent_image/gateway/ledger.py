"""What the gateway tells: printed as it happens, and kept for whoever missed some of it."""

from collections import deque
from collections.abc import Callable

import anyio

from agent_image.emitter import Emitter, StdoutClosedError
from agent_image.events import Event, encode_line

_MOST_BYTES = 16 * 1024 * 1024
"""Some 60 000 calls; of more, the oldest lines are kept no longer."""


class Ledger:
    """The events of this gateway, by lines. Sets `stop` once nobody reads what is printed: who started it is gone."""

    def __init__(self, emitter: Emitter, stop: anyio.Event) -> None:
        self._emitter = emitter
        self._stop = stop
        self._lines: deque[bytes] = deque()
        self._bytes = 0

    def emit(self, event: Callable[..., Event]) -> None:
        """Print and keep the event that `event(n=…, at=…)` makes."""

        def kept(*, n: int, at: float) -> Event:
            made = event(n=n, at=at)
            self._keep(encode_line(made))
            return made

        try:
            self._emitter.emit(kept)
        except StdoutClosedError:
            self._stop.set()

    def text(self) -> bytes:
        """Return all lines so far."""
        return b"".join(self._lines)

    def _keep(self, line: bytes) -> None:
        self._lines.append(line)
        self._bytes += len(line)
        while self._bytes > _MOST_BYTES:
            self._bytes -= len(self._lines.popleft())
