"""What a model says and thinks, on its way to the log while it comes."""

import asyncio
from contextlib import suppress
from functools import partial

from agent_image.emitter import Emitter, StdoutClosedError
from agent_image.events import LINE_LIMIT, Said
from agent_image.parts import parts

_ROOM = LINE_LIMIT - 256
"""Bytes for the text of one `said`; its other fields take the rest."""
_ENOUGH = 1024
"""Characters that wait for no more."""
_PATIENCE_S = 0.1
"""How long a text waits for more, or for its line to end."""


class Speech:
    """Takes the pieces of one turn, and emits them in events that are worth their envelope."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self._pending = ""
        self._is_thought = False
        self._part = 0
        self._timer: asyncio.TimerHandle | None = None

    def text(self, piece: str) -> None:
        """Add to what the model says; an empty piece is nothing."""
        self._add(piece, is_thought=False)

    def thought(self, piece: str) -> None:
        """Add to what it thinks."""
        self._add(piece, is_thought=True)

    def close(self) -> None:
        """End what was begun: nothing follows, or something of another kind."""
        if self._pending or self._part:
            self._emit(more=False)

    def _add(self, piece: str, *, is_thought: bool) -> None:
        if not piece:
            return
        if is_thought != self._is_thought:
            self.close()
            self._is_thought = is_thought
        self._pending += piece
        if "\n" in piece or len(self._pending) >= _ENOUGH:
            self._emit(more=True)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PATIENCE_S, self._emit_late)

    def _emit_late(self) -> None:
        with suppress(StdoutClosedError):  # whoever emits next finds out, and can say so
            self._emit(more=True)

    def _emit(self, *, more: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        text, self._pending = self._pending, ""
        for piece in parts(text, _ROOM):
            said = partial(Said, text=piece.text, part=self._part, more=more or piece.more)
            self._emitter.emit(partial(said, thought=self._is_thought))
            self._part += 1
        if not more:
            self._part = 0
