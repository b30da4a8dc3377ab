"""One answer on its way to a client, which may leave, and which the fault may end in its own way."""

from collections.abc import Callable, Iterator
from itertools import chain, pairwise
from typing import Protocol

import anyio
from litestar.types import HTTPScope, Receive, Scope, Send

from tests.providers.faults import BEFORE_HEAD, Fault
from tests.providers.recorded import Recorded


class Server(Protocol):
    """What a reply needs of the server that it is sent by."""

    def begin(self) -> None: ...
    def end(self, recorded: Recorded) -> None: ...
    async def silence(self) -> None: ...

    @property
    def hang_up(self) -> Callable[[tuple[str, int] | None], None]: ...


class Reply:
    """An ASGI application for one request: it sends frames until the fault has its way."""

    def __init__(
        self,
        server: Server,
        recorded: Recorded,
        fault: Fault,
        *,
        frames: Iterator[bytes],
        content_type: str = "application/json",
        error_event: bytes = b"",
    ) -> None:
        self._server = server
        self._recorded = recorded
        self._fault = fault
        self._frames = frames
        self._content_type = content_type
        self._error_event = error_event

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        self._server.begin()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, receive, tasks.cancel_scope)
                await self._answer(scope, send)
                tasks.cancel_scope.cancel()
        finally:
            self._finish()

    async def _watch(self, receive: Receive, answering: anyio.CancelScope) -> None:
        """Stop when the connection is closed, whoever did it."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._recorded.was_left = self._recorded.ended is None
        answering.cancel()

    async def _answer(self, scope: HTTPScope, send: Send) -> None:
        if self._fault.after == BEFORE_HEAD:
            await self._fail(scope, send)
        headers = {"content-type": self._content_type, "request-id": "req_fake", **self._fault.headers}
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self._fault.status, "headers": encoded})
        for number, (frame, following) in enumerate(pairwise(chain(self._frames, [b"", b""]))):
            if number == self._fault.after and await self._fail(scope, send):
                return
            await anyio.sleep(self._fault.delay_s)
            if not following and not self._fault.then:
                self._finish()
            await send({"type": "http.response.body", "body": frame, "more_body": bool(frame)})

    async def _fail(self, scope: HTTPScope, send: Send) -> bool:
        """Do what the fault says; False if the answer goes on after it."""
        match self._fault.then:
            case "":
                return False
            case "silence":
                await self._server.silence()
                return False
            case "cut":
                self._finish()
                self._server.hang_up(scope["client"])
                await anyio.sleep_forever()
            case "error" | "end":
                self._finish()
                body = self._error_event if self._fault.then == "error" else b""
                await send({"type": "http.response.body", "body": body, "more_body": False})
        return True

    def _finish(self) -> None:
        """Say that the answer is over; before the client can know it, who may send its next request at once."""
        if self._recorded.ended is None:
            self._server.end(self._recorded)
