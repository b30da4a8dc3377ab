"""A call of an agent, from its request to the last byte of its answer."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

import anyio
from litestar.types import Receive, Scope, Send

from agent_image.gateway.account import Account
from agent_image.gateway.answer import Answer, Rejected
from agent_image.gateway.gateway import Gateway
from agent_image.gateway.meter import Meter
from agent_image.gateway.plan import Wire
from agent_image.gateway.refusal import RefusedError
from agent_image.gateway.reply import Reply
from agent_image.gateway.request import ModelRequest, read_body, read_request, with_notice
from agent_image.gateway.sse import EventSplitter

_END_S = 1.0
"""How long after its last event a stream may stay open."""
_ENDED = "The work that this token was for has ended."


class Call:
    """An ASGI application for one call."""

    def __init__(self, gateway: Gateway, wire: Wire) -> None:
        self._gateway = gateway
        self._wire: Wire = wire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, until the caller leaves or its account is retired."""
        reply = Reply(self._wire, send)
        account: Account | None = None
        try:
            account = self._gateway.access.account(scope["headers"])
            request = await self._read(scope, receive)
        except RefusedError as error:
            if account:
                account.fail(error.code, str(error), model="")
            await reply.refuse(error)
            return
        if request is None:
            return
        account.begin()
        async with _connected(receive):
            with account.working() as working:
                await self._answer(account, request, reply)
            if working.cancelled_caught:
                await reply.refuse(RefusedError("llm.token", _ENDED))

    async def _read(self, scope: Scope, receive: Receive) -> ModelRequest | None:
        """Read the request; None if the caller has left."""
        body = await read_body(scope["headers"], receive)
        if body is None:
            return None
        headers, query = scope["headers"], scope["query_string"]
        return read_request(body, wire=self._wire, path=scope["path"], query=query, headers=headers)

    async def _answer(self, account: Account, request: ModelRequest, reply: Reply) -> None:
        try:
            await self._relay(account, request, reply)
        except RefusedError as error:
            account.fail(error.code, str(error), model=request.model)
            await reply.refuse(error)

    async def _relay(self, account: Account, request: ModelRequest, reply: Reply) -> None:
        upstream = self._gateway.upstream(account.grant, request)
        if not request.is_metered:
            await self._pass_on(account, request, await upstream.ask(request), Meter(self._wire), reply)
            return
        async with account.admission() as is_last:
            meter = Meter(self._wire, hides_usage=request.hides_usage)
            try:
                answer = await upstream.ask(with_notice(request) if is_last else request)
            except anyio.get_cancelled_exc_class():  # the provider may go on with it all the same
                self._charge(account, request, meter)
                raise
            try:
                await self._pass_on(account, request, answer, meter, reply)
            finally:
                if not isinstance(answer, Rejected):
                    self._charge(account, request, meter)
                    account.spend(meter.tokens, self._gateway.cost(request, meter.tokens), model=request.model)
            if meter.failure:
                account.fail("llm.failed", meter.failure, model=request.model)

    async def _pass_on(
        self, account: Account, request: ModelRequest, answer: Answer | Rejected, meter: Meter, reply: Reply
    ) -> None:
        if isinstance(answer, Rejected):
            account.fail("llm.refused", f"{answer.status}: {answer.text}", model=request.model)
            await reply.whole(answer.status, answer.headers, answer.body)
            return
        try:
            await _pass_on(answer, meter, reply)
        finally:
            await answer.close()

    def _charge(self, account: Account, request: ModelRequest, meter: Meter) -> None:
        tokens = meter.charge(request.body)
        account.charge(tokens, self._gateway.cost(request, tokens))


@asynccontextmanager
async def _connected(receive: Receive) -> AsyncGenerator[None]:
    """Do something for as long as the caller, whose request was read, is there."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_cancel_when_left, receive, tasks.cancel_scope)
        yield
        tasks.cancel_scope.cancel()


async def _cancel_when_left(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _pass_on(answer: Answer, meter: Meter, reply: Reply) -> None:
    if answer.is_stream:
        await reply.begin(answer.status, answer.headers)
        await _pass_on_stream(answer, meter, reply)
        await reply.end()
    else:
        body = await answer.whole()
        meter.read_whole(body)
        if not meter.has_ended:
            raise RefusedError("llm.truncated", "The answer is no JSON, or not all of it.")
        await reply.whole(answer.status, answer.headers, body)


async def _pass_on_stream(answer: Answer, meter: Meter, reply: Reply) -> None:
    """Pass on events as they come whole, and see whether the last one comes."""
    splitter = EventSplitter()
    try:
        async with aclosing(answer.chunks()) as chunks:
            async for chunk in chunks:
                await reply.pass_on(meter.read(splitter.feed(chunk)))
                if meter.has_ended:
                    answer.hurry(_END_S)
    except RefusedError:
        if not meter.has_ended:
            raise
    rest = meter.read(splitter.rest())
    if not meter.has_ended:
        raise RefusedError("llm.truncated", "The answer ended before its last event.")
    await reply.pass_on(rest)
