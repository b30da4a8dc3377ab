"""A stream of bytes, cut anywhere, as lines that fit the protocol; nothing is lost, changed or held for long."""

from enum import Enum, auto
from typing import NamedTuple

from agent_image.events import LINE_LIMIT
from agent_image.parts import beginning
from agent_image.utf8 import unfinished, whole_characters

_ROOM = LINE_LIMIT - 256
"""Bytes for the text of one `output`; its other fields take the rest."""
_DATA_ROOM = _ROOM // 4 * 3
"""What fits there in base64."""


class Flush(Enum):
    """What becomes of a line that has no newline yet."""

    WAIT = auto()
    """It waits for the rest."""
    IDLE = auto()
    """It goes out, for nothing came for a while; a character that is not whole yet still waits."""
    END = auto()
    """It goes out, for nothing will ever come."""


class Piece(NamedTuple):
    """A line, or a part of a long one. Bytes that are not UTF-8 are in `data`, all others in `text`."""

    text: str
    data: bytes
    size: int
    """In bytes, as they were printed."""
    part: int
    more: bool

    @property
    def printed(self) -> bytes:
        return self.data or self.text.encode()


class LineSplitter:
    """Cuts one stream into pieces: push chunks, then take pieces until there is none."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._part = 0

    def push(self, chunk: bytes) -> None:
        self._pending += chunk

    @property
    def is_waiting(self) -> bool:
        return bool(self._pending)

    def rest(self) -> bytes:
        """Take away all that was not taken as pieces."""
        rest = bytes(self._pending)
        self._pending.clear()
        self._part = 0
        return rest

    def take(self, flush: Flush = Flush.WAIT) -> Piece | None:
        newline = self._pending.find(b"\n")
        end = newline + 1 or self._open_end(flush)
        if end == 0:
            return None
        text, data, size = _decoded(bytes(self._pending[: min(end, _ROOM)]), is_cut=end > _ROOM)
        del self._pending[:size]
        # An open line that goes out because it is long leaves more than it takes, so a piece with `more` has a next.
        piece = Piece(text, data, size, self._part, more=size < end)
        self._part = self._part + 1 if piece.more else 0
        return piece

    def _open_end(self, flush: Flush) -> int:
        """Where a line without a newline may be cut; 0 if it has to wait."""
        if flush is Flush.IDLE:
            return len(self._pending) - unfinished(self._pending[-3:])
        if flush is Flush.END or len(self._pending) > _ROOM:
            return len(self._pending)
        return 0


def _decoded(head: bytes, *, is_cut: bool) -> tuple[str, bytes, int]:
    """Return text or data for a beginning of `head`, and how many bytes it took."""
    if is_cut:
        head = whole_characters(head)
    try:
        text = head.decode()
    except UnicodeDecodeError:
        data = head if len(head) <= _DATA_ROOM else whole_characters(head[:_DATA_ROOM])
        return "", data, len(data)
    fitting = beginning(text, _ROOM)
    return fitting, b"", len(head) if len(fitting) == len(text) else len(fitting.encode())
