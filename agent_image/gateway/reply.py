"""What goes back to a caller: an answer or an error, whichever of the two it has come to."""

import anyio
from litestar.types import Message, Send

from agent_image.gateway.headers import Headers
from agent_image.gateway.plan import Wire
from agent_image.gateway.refusal import RefusedError, error_body, error_event

_CUT_S = 1.0
"""For a caller to take the error that it is sent away with."""


class Reply:
    """One reply over ASGI. A stream that is begun and not ended is an aborted connection, as a server takes it."""

    def __init__(self, wire: Wire, send: Send) -> None:
        self._wire: Wire = wire
        self._send = send
        self._is_stream = False
        self._has_ended = False
        self._is_cut = False

    async def begin(self, status: int, headers: Headers) -> None:
        """Begin a stream."""
        self._is_stream = True
        await self._unless_cut({"type": "http.response.start", "status": status, "headers": headers})

    async def pass_on(self, block: bytes) -> None:
        """Send a block of whole events; nothing for an empty one."""
        if block:
            await self._unless_cut({"type": "http.response.body", "body": block, "more_body": True})

    async def end(self) -> None:
        """End a stream."""
        self._has_ended = True
        await self._unless_cut({"type": "http.response.body", "body": b"", "more_body": False})

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send what is no stream."""
        self._has_ended = True
        headers = [*headers, (b"content-length", str(len(body)).encode())]
        await self._unless_cut({"type": "http.response.start", "status": status, "headers": headers})
        await self._unless_cut({"type": "http.response.body", "body": body, "more_body": False})

    async def cut(self, error: RefusedError) -> None:
        """Refuse what has not ended, and send nothing more; takes a second at most, and is not to be cancelled."""
        if self._is_cut:
            return
        self._is_cut = True
        rest = Reply(self._wire, self._send)
        rest._is_stream, rest._has_ended = self._is_stream, self._has_ended
        with anyio.move_on_after(_CUT_S, shield=True):
            await rest.refuse(error)

    async def refuse(self, error: RefusedError) -> None:
        """Send an error: as the reply, or as the last event of a stream that is left without its end.

        A stream of Responses is ended: its last event says that it failed, and Codex loses that with the connection.
        """
        if self._has_ended:
            return
        if self._is_stream:
            await self.pass_on(error_event(self._wire, error))
            if self._wire == "responses":
                await self.end()
        else:
            await self.whole(error.status, error.headers, error_body(self._wire, error))

    async def _unless_cut(self, message: Message) -> None:
        if not self._is_cut:
            await self._send(message)
