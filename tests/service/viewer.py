"""A viewer whose connection is cut: HTTP over a plain socket, so that a cut can be at any byte."""

import re

import anyio
import httpx2
from anyio.abc import ByteStream

LIMIT_S = 30.0


class CutViewer:
    """Watches a run over one connection after another; each is cut, the next takes up after the last whole frame."""

    def __init__(self, client: httpx2.AsyncClient, run: str) -> None:
        self._url = client.base_url
        self._path = f"{run}/stream"
        self._seen = b""
        self.ended = False
        """True once a connection was ended by the service, not cut."""

    @property
    def seen(self) -> bytes:
        """The whole frames that were seen, one after the other."""
        return self._seen

    async def watch(self, cut_after: int) -> None:
        """Connect, and cut the connection after that many bytes of the response, its head included."""
        with anyio.fail_after(LIMIT_S):
            async with await anyio.connect_tcp(self._url.host, self._url.port or 80) as connection:
                await connection.send(self._request())
                received = await _receive(connection, cut_after)
        body, self.ended = _body(received)
        whole = body[: body.rfind(b"\n\n") + 2] if b"\n\n" in body else b""
        self._seen += whole

    def _request(self) -> bytes:
        lines = [f"GET {self._path} HTTP/1.1", f"Host: {self._url.host}:{self._url.port}"]
        if ids := re.findall(rb"^id: (.+)$", self._seen, re.MULTILINE):
            lines.append(f"Last-Event-ID: {ids[-1].decode()}")
        return "\r\n".join([*lines, "", ""]).encode()


async def _receive(connection: ByteStream, size: int) -> bytes:
    received = b""
    while len(received) < size and not received.endswith(b"\r\n0\r\n\r\n"):
        try:
            received += await connection.receive(size - len(received))
        except anyio.EndOfStream:
            break
    return received


def _body(response: bytes) -> tuple[bytes, bool]:
    """What came of the body, the last chunk perhaps in part, and whether it is whole."""
    head, _, rest = response.partition(b"\r\n\r\n")
    if b"\r\n\r\n" not in response:
        return b"", False
    assert head.startswith(b"HTTP/1.1 200"), head
    assert b"transfer-encoding: chunked" in head.lower()
    body = b""
    while b"\r\n" in rest:
        size, _, rest = rest.partition(b"\r\n")
        if int(size, 16) == 0:
            return body, True
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return body, False
