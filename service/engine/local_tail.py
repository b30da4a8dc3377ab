"""The end of what somebody writes to a pipe, read beside everything else, so that the pipe is never full."""

import asyncio
import os

_KEPT = 64 * 1024


class Tail:
    """Owns the pipe's reading end until `close`."""

    def __init__(self, pipe: int) -> None:
        os.set_blocking(pipe, False)
        self._pipe = pipe
        self._kept = bytearray()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(pipe, self._take)

    def read(self) -> bytes:
        """The last 64 KB so far."""
        while self._take():
            pass
        return bytes(self._kept[-_KEPT:])

    def close(self) -> None:
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)

    def _take(self) -> bool:
        """Take what is there; False where nothing is."""
        try:
            chunk = os.read(self._pipe, _KEPT)
        except BlockingIOError:
            return False
        if not chunk:
            self._loop.remove_reader(self._pipe)
            return False
        self._kept += chunk
        del self._kept[:-_KEPT]
        return True
