"""Server-sent events in a stream of bytes, whose chunks may end anywhere."""

import re
from collections.abc import Iterator

from msgspec import Struct

_LINE = re.compile(rb"\r\n|\n|\r")
_END = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
"""A line's end and an empty line. After a `\\r` that ends a chunk a `\\n` may follow: one empty line more, no harm."""
_LONGEST_END = 4


class ServerEvent(Struct, frozen=True):
    raw: bytes
    """As it came, the empty line at its end included."""
    data: bytes
    """Its lines of data, joined; empty for a comment."""


class EventSplitter:
    """Lets whole events through, and holds back the beginning of one until the rest has come."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """Return the events that are whole with this chunk, as they came; empty if none is."""
        if not self._held and chunk.endswith(b"\n\n"):
            return chunk
        searched = max(0, len(self._held) - _LONGEST_END + 1)
        self._held += chunk
        end = _last_end(self._held, searched)
        whole = bytes(self._held[:end])
        del self._held[:end]
        return whole

    def rest(self) -> bytes:
        """Return what was held back, when the stream has ended."""
        return bytes(self._held)


def events(block: bytes) -> Iterator[ServerEvent]:
    """Take a block of whole events apart; joined, their `raw` is the block."""
    start = 0
    for end in [*(match.end() for match in _END.finditer(block)), len(block)]:
        if raw := block[start:end]:
            yield ServerEvent(raw, b"\n".join(_data(raw)))
        start = end


def _last_end(held: bytearray, searched: int) -> int:
    end = 0
    for match in _END.finditer(held, searched):
        end = match.end()
    return end


def _data(raw: bytes) -> Iterator[bytes]:
    for line in _LINE.split(raw):
        name, _, value = line.partition(b":")
        if name == b"data":
            yield value.removeprefix(b" ")
