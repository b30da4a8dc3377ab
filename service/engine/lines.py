"""Output, cut into lines, as it comes."""

_MAX_LINE = 1 << 20
"""Bytes without a newline after which what there is counts as a line: no more is kept in memory."""


class LineSplitter:
    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes, without their newlines."""
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _MAX_LINE:
            lines.append(self.end())
        return lines

    def end(self) -> bytes:
        """What has no newline so far; empty where there is nothing."""
        rest, self._rest = self._rest, b""
        return rest
