"""What other processes write to pipes."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import ExitStack

import anyio

_PIECE = 64 * 1024
"""What a pipe holds."""
_GATHER_S = 0.005
"""How long lines gather after some were taken: whoever prints by lines would otherwise wake us for each, which costs
ten times what is done with it. The first line after a silence does not wait."""
_KEPT = 64 * 1024


def new_pipe(ours: ExitStack, theirs: ExitStack) -> tuple[int, int]:
    """Its reading end, closed with `ours`, and its writing end, closed with `theirs`, once they have it."""
    reading, writing = os.pipe()
    ours.callback(os.close, reading)
    theirs.callback(os.close, writing)
    os.set_blocking(reading, False)
    return reading, writing


async def chunks_of(pipe: int) -> AsyncGenerator[bytes]:
    """What is written to `pipe`, as it comes, until nobody has its writing end."""
    while True:
        await anyio.wait_readable(pipe)
        if not (chunk := os.read(pipe, _PIECE)):
            return
        yield chunk
        if len(chunk) < _PIECE:
            await anyio.sleep(_GATHER_S)


class Tail:
    """The end of what is written to `pipe`, read beside everything else until `close`, so that it is never full."""

    def __init__(self, pipe: int) -> None:
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
