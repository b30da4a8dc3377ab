"""The end of a long output, kept while the rest of it is dropped."""

from collections import deque
from typing import Literal

import msgspec

from agent_image.utf8 import character_start

Stream = Literal["stdout", "stderr"]

_SEGMENT = 64 * 1024


class _Segment(msgspec.Struct):
    stream: Stream
    data: bytearray
    cost: int


class Tail:
    """The last of what was pushed, up to a limit of cost: a byte costs 1, and a line `per_line` more.

    Lines are never looked at one by one, for a command may print hundreds of millions of them.
    """

    def __init__(self, limit: int, *, per_line: int) -> None:
        self._limit = limit
        self._per_line = per_line
        self._segments: deque[_Segment] = deque()
        self._cost = 0
        self.pushed = 0
        """Bytes ever pushed."""

    def push(self, stream: Stream, chunk: bytes) -> None:
        if not chunk:
            return
        self.pushed += len(chunk)
        if not self._segments or self._segments[-1].stream != stream or len(self._segments[-1].data) >= _SEGMENT:
            self._segments.append(_Segment(stream, bytearray(), self._per_line))
            self._cost += self._per_line
        cost = len(chunk) + self._per_line * chunk.count(b"\n")
        self._segments[-1].data += chunk
        self._segments[-1].cost += cost
        self._cost += cost
        while self._cost - self._segments[0].cost >= self._limit:
            self._cost -= self._segments.popleft().cost

    def last(self, limit: int) -> list[tuple[Stream, bytes]]:
        """Return the end of what is kept, in order, at a cost of `limit` at most."""
        kept: list[tuple[Stream, bytes]] = []
        room = min(limit, self._limit)
        for segment in reversed(self._segments):
            if segment.cost > room:
                kept.append((segment.stream, self._end_of(segment.data, room - self._per_line)))
                break
            kept.append((segment.stream, bytes(segment.data)))
            room -= segment.cost
        kept.reverse()
        return kept

    def _end_of(self, data: bytearray, room: int) -> bytes:
        start = len(data)
        while start and room > 0:
            line = data.rfind(b"\n", 0, start - 1) + 1
            cost = start - line + self._per_line
            if cost > room:
                line = start - max(0, room - self._per_line)
                return bytes(data[character_start(data, line) :])
            start, room = line, room - cost
        return bytes(data[start:])
