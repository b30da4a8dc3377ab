"""The way from a run's gateway to a provider on this machine, for the gateway alone.

Containers of an engine reach each other, and what a session tunnels, by address. So what is tunnelled is not the
provider's own port, which may want no key, but this: it passes on connections whose first request has a secret header.
"""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import ByteStream, SocketAttribute

HEADER = "x-aideator-forward"

_MOST_HEAD = 64 << 10
_HEAD_S = 10.0
_CHUNK = 64 << 10


class Forwarder:
    """Listens on a loopback port of its own while it is `running`, and speaks TLS to the provider if that does."""

    def __init__(self, host: str, port: int, *, tls: bool) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self.secret = secrets.token_urlsafe(32)
        """What the header has to be."""
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            self.port = listener.extra(SocketAttribute.local_port)  # noqa: S610 -- of a listener, not of Django
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, self._forward)
                yield
                tasks.cancel_scope.cancel()

    async def _forward(self, caller: ByteStream) -> None:
        """Pass a connection on, if its first request has the secret; else close it without a word."""
        try:
            async with caller:
                if (head := await self._head(caller)) is None:
                    return
                async with await anyio.connect_tcp(self._host, self._port, tls=self._tls) as provider:
                    await provider.send(head)
                    async with anyio.create_task_group() as ways:
                        ways.start_soon(_pipe, provider, caller, ways.cancel_scope)
                        await _pipe(caller, provider, ways.cancel_scope)
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # one of the two has gone, or the provider is not there: the gateway sees its connection end

    async def _head(self, caller: ByteStream) -> bytes | None:
        """What has come when the first request's headers are whole; None if it is none of the gateway's."""
        head = b""
        with anyio.move_on_after(_HEAD_S):
            try:
                while b"\r\n\r\n" not in head and len(head) < _MOST_HEAD:
                    head += await caller.receive(_CHUNK)
            except anyio.EndOfStream:
                return None
            lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
            return head if any(map(self._is_secret, lines)) else None
        return None

    def _is_secret(self, line: bytes) -> bool:
        name, _, value = line.partition(b":")
        wanted = self.secret.encode()
        return name.strip().lower() == HEADER.encode() and secrets.compare_digest(value.strip(), wanted)


async def _pipe(source: ByteStream, sink: ByteStream, both: anyio.CancelScope) -> None:
    """Pass on what comes; when one side ends, so does the other: HTTP has no use for half a connection."""
    try:
        while True:
            await sink.send(await source.receive(_CHUNK))
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        both.cancel()
