"""Where characters of UTF-8 begin and end, in bytes that may be cut anywhere."""

_FOLLOWS = 0x80
"""The first two bits of a character's second to fourth byte."""
_TWO, _THREE, _FOUR = 0xC0, 0xE0, 0xF0
"""From here on a byte begins a character of that length."""


def whole_characters(head: bytes) -> bytes:
    """Return `head` without a character at its end that is not whole."""
    return head[: len(head) - unfinished(head[-3:])]


def unfinished(tail: bytes | bytearray) -> int:
    """How many of the last bytes, three at most, begin a character whose end is not there."""
    for length, byte in enumerate(reversed(tail), start=1):
        if not _follows(byte):
            return length if length < 1 + (byte >= _TWO) + (byte >= _THREE) + (byte >= _FOUR) else 0
    return 0


def character_start(data: bytes | bytearray, at: int) -> int:
    """Move `at` forward, by three bytes at most, to where a character begins."""
    for start in range(at, min(at + 4, len(data))):
        if not _follows(data[start]):
            return start
    return at


def _follows(byte: int) -> bool:
    return byte & 0xC0 == _FOLLOWS
