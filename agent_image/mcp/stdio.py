"""Messages of MCP to a program and from it: a line of JSON each, on its stdin and stdout.

The package `mcp` could start programs itself. But two who wait for processes take each other's, and it leaves a
program more time to end than a harness has at its deadline.
"""

import math
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import IO

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from agent_image.processes import Child

_CHUNK = 64 * 1024
_LONGEST_LINE = 64 * 1024 * 1024
"""A server with more to say at once is not listened to any longer."""

Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]
"""What a client receives messages from, and what it sends them to."""


@asynccontextmanager
async def messages(child: Child) -> AsyncGenerator[Streams]:
    """Carry messages until the block is left; its stdin and stdout are closed then."""
    to_us, ours = anyio.create_memory_object_stream[SessionMessage | Exception]()
    # Whoever sends must not wait for a server that does not read: not even an end by force cuts that short.
    theirs, to_them = anyio.create_memory_object_stream[SessionMessage](math.inf)
    assert child.stdin
    with child.stdin, os.fdopen(child.stdout, "rb", buffering=0) as stdout:
        async with to_us, ours, theirs, to_them, anyio.create_task_group() as pipes:
            pipes.start_soon(_receive, stdout, to_us)
            pipes.start_soon(_send, to_them, child.stdin)
            try:
                yield ours, theirs
            finally:
                pipes.cancel_scope.cancel()


async def _receive(pipe: IO[bytes], to_us: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
    """Hand on messages until there is an end; whoever waits for one then learns that the connection is closed."""
    line = bytearray()
    async with to_us:
        with suppress(anyio.BrokenResourceError):
            while chunk := await _read(pipe):
                *ends, rest = chunk.split(b"\n")
                for end in ends:
                    line += end
                    await to_us.send(_message(line))
                    line.clear()
                line += rest
                if len(line) > _LONGEST_LINE:
                    return


async def _read(pipe: IO[bytes]) -> bytes:
    await anyio.wait_readable(pipe)
    return pipe.read(_CHUNK)


def _message(line: bytearray) -> SessionMessage | Exception:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


async def _send(to_them: MemoryObjectReceiveStream[SessionMessage], pipe: IO[bytes]) -> None:
    with suppress(BrokenPipeError):
        async for message in to_them:
            unsent = memoryview(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            while unsent:
                await anyio.wait_writable(pipe)
                unsent = unsent[pipe.write(unsent) or 0 :]
