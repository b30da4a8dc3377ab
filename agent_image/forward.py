"""A gateway that is a socket in the file system: here a port leads to it, for programs that speak only TCP."""

from functools import partial

import anyio
from anyio.abc import ByteReceiveStream, ByteStream, SocketAttribute, SocketStream, TaskStatus

from agent_image.task import Access

UNIX = "unix://"
_BACKLOG = 1024
_LONGEST_REQUEST_S = 10.0
_NOT_THERE = b'{"error": {"type": "api_error", "code": "llm.unavailable", "message": "the gateway cannot be reached"}}'
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_NOT_THERE), _NOT_THERE)
)
"""No port refuses a connection that it has taken, so it is told in a way that every program understands."""


def is_forwarded(access: Access) -> bool:
    return access.url.startswith(UNIX)


async def forward(access: Access, *, task_status: TaskStatus[Access]) -> None:
    """Pass on what comes to a port of our own, and report where that is; for as long as this runs."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0, backlog=_BACKLOG)
    async with listener:
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 there is no Django
        task_status.started(Access(f"http://127.0.0.1:{port}", access.token))
        await listener.serve(partial(_pass_on, access.url.removeprefix(UNIX)))


async def _pass_on(path: str, near: SocketStream) -> None:
    async with near:
        try:
            far = await anyio.connect_unix(path)
        except OSError:
            await _refuse(near)
            return
        async with far, anyio.create_task_group() as both:
            both.start_soon(_copy, near, far, both.cancel_scope)
            both.start_soon(_copy, far, near, both.cancel_scope)


async def _copy(source: ByteReceiveStream, target: ByteStream, both: anyio.CancelScope) -> None:
    """Copy until the source ends, and let the target know; the other way may go on. An error ends both."""
    try:
        async for chunk in source:
            await target.send(chunk)
        await target.send_eof()
    except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        both.cancel()


async def _refuse(stream: SocketStream) -> None:
    """Answer, and read what is asked meanwhile: closed with that unread, a connection would lose its answer."""
    try:
        await stream.send(_REFUSAL)
        await stream.send_eof()
        with anyio.move_on_after(_LONGEST_REQUEST_S):
            async for _ in stream:
                pass
    except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        return
