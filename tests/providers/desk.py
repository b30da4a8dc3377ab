"""Where a fake provider's requests arrive: recorded, then answered as the script or a fault says."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio
import msgspec
from litestar import Request
from litestar.datastructures import State

from tests.providers.faults import Fault, FaultQueue, spoiled
from tests.providers.recorded import Recorded
from tests.providers.reply import Reply
from tests.providers.script import Script, Tokens, answer
from tests.providers.wires import Wire, frames

_GOOD = Fault()
_WRONG_KEY = Fault(status=401, message="invalid x-api-key")
_NO_REQUEST = Fault(status=400, message="the body is no request: it has to be JSON with a model")


class Desk:
    """What a fake knows and does; all of it in the thread of its server."""

    def __init__(self, script: Script, key: str, tokens: Tokens, models: Sequence[str]) -> None:
        self.script = script
        self.key = key
        self.tokens = tokens
        self.models = models
        self.faults = FaultQueue()
        self.requests: list[Recorded] = []
        self.open = 0
        self.most_open = 0
        self.hang_up: Callable[[tuple[str, int] | None], None] = lambda _: None
        self._released = anyio.Event()

    async def generate(self, wire: Wire, request: Request[Any, Any, State]) -> Reply:
        """Answer in this wire format, well or badly."""
        recorded = await self._record(request)
        if error := self._objection(recorded):
            return self._refusal(wire, error, recorded)
        fault = _asked_for(recorded) or self.faults.take(recorded.model) or _GOOD
        if fault.status != _GOOD.status:
            return self._refusal(wire, fault, recorded)
        conversation = wire.read(recorded.body)
        said = spoiled(answer(self.script, conversation, self.tokens), fault)
        return Reply(
            self,
            recorded,
            fault,
            frames=frames(wire, said, conversation),
            content_type="text/event-stream; charset=utf-8" if conversation.stream else "application/json",
            error_event=wire.error_event(said, fault.error, fault.message),
        )

    async def tell(self, wire: Wire, request: Request[Any, Any, State], what: Mapping[str, Any]) -> Reply:
        """Answer with this, if the key is right."""
        recorded = await self._record(request)
        if not self._is_known(recorded):
            return self._refusal(wire, _WRONG_KEY, recorded)
        return Reply(self, recorded, _GOOD, frames=iter([msgspec.json.encode(what)]))

    def begin(self) -> None:
        self.open += 1
        self.most_open = max(self.most_open, self.open)

    def end(self, recorded: Recorded) -> None:
        self.open -= 1
        recorded.ended = time.monotonic()

    async def silence(self) -> None:
        """Return when it is broken."""
        await self._released.wait()

    def release(self) -> None:
        """Break every silence there is."""
        self._released.set()
        self._released = anyio.Event()

    async def _record(self, request: Request[Any, Any, State]) -> Recorded:
        body = await request.body()
        recorded = Recorded(
            path=request.url.path,
            query=request.url.query,
            headers=dict(request.headers.items()),
            body=_decoded(body),
            began=time.monotonic(),
        )
        self.requests.append(recorded)
        return recorded

    def _objection(self, recorded: Recorded) -> Fault | None:
        if not self._is_known(recorded):
            return _WRONG_KEY
        if not recorded.model:
            return _NO_REQUEST
        return None

    def _is_known(self, recorded: Recorded) -> bool:
        return not self.key or recorded.key == self.key

    def _refusal(self, wire: Wire, fault: Fault, recorded: Recorded) -> Reply:
        error = msgspec.json.encode(wire.error_body(fault.status, fault.error, fault.message))
        body = error if fault.body is None else fault.body.encode()
        return Reply(self, recorded, fault, frames=iter([body]))


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body) if body else None
    except msgspec.DecodeError:
        return body


def _asked_for(recorded: Recorded) -> Fault | None:
    header = recorded.headers.get("x-fault")
    return msgspec.json.decode(header, type=Fault) if header else None
