"""What a model sees of a command's output: its beginning and its end."""

LONGEST = 16_000
"""Characters of an excerpt, at most, the note about what was left out included."""

_NOTE = 100
_SIDE = (LONGEST - _NOTE) // 2
_SIDE_BYTES = 4 * _SIDE
"""Enough for as many characters, however long they are in UTF-8."""


class Excerpt:
    """Keeps the head and the tail of what it is fed, stdout and stderr as they come."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def feed(self, chunk: bytes) -> None:
        into_head = _SIDE_BYTES - len(self._head)
        self._head += chunk[:into_head]
        self._tail += chunk[into_head:]
        if len(self._tail) > 2 * _SIDE_BYTES:
            self._dropped += len(self._tail) - _SIDE_BYTES
            del self._tail[:-_SIDE_BYTES]

    def __str__(self) -> str:
        if not self._dropped:
            return shortened((self._head + self._tail).decode(errors="replace"))
        head, tail = self._head.decode(errors="replace"), self._tail.decode(errors="replace")
        return f"{head[:_SIDE]}\n[… much left out …]\n{tail[-_SIDE:]}"


def shortened(text: str) -> str:
    """Return `text` with its middle left out if it is longer than `LONGEST`."""
    if len(text) <= LONGEST:
        return text
    return f"{text[:_SIDE]}\n[… {len(text) - 2 * _SIDE} characters left out …]\n{text[-_SIDE:]}"
