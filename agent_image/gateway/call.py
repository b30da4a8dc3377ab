"""A call of an agent, from its request to the last byte of its answer."""

import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

import anyio
from litestar.types import Receive, Scope, Send

from agent_image.gateway.account import Account
from agent_image.gateway.answer import Answer
from agent_image.gateway.gateway import Gateway
from agent_image.gateway.meter import Meter
from agent_image.gateway.plan import Wire
from agent_image.gateway.refusal import RefusedError
from agent_image.gateway.rejected import Rejected
from agent_image.gateway.reply import Reply
from agent_image.gateway.request import ModelRequest, read_body, read_request, with_notice
from agent_image.gateway.sse import EventSplitter
from agent_image.gateway.term import Term
from agent_image.gateway.upstream import Upstream

_END_S = 1.0
"""How long after its last event a stream may stay open."""
_ENDED = "The work that this token was for has ended."
_FAILED = "The gateway failed; whoever runs it can read why in its log."


class Call:
    """An ASGI application for one call."""

    def __init__(self, gateway: Gateway, wire: Wire) -> None:
        self._gateway = gateway
        self._wire: Wire = wire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, until the caller leaves or its account is retired."""
        reply = Reply(self._wire, send)
        try:
            await self._serve(self._gateway.access.account(scope["headers"]), scope, receive, reply)
        except RefusedError as error:
            await reply.refuse(error)
        except Exception as error:  # noqa: BLE001 a caller gets an error that it understands, whatever happens
            traceback.print_exception(error, file=sys.stderr)
            await reply.refuse(RefusedError("llm.failed", _FAILED))

    async def _serve(self, account: Account, scope: Scope, receive: Receive, reply: Reply) -> None:
        try:
            with account.holding() as hold:
                request = await self._read(scope, receive, hold)
                if request:
                    account.begin()
                    await self._attend(account, request, receive, reply)
        except RefusedError as error:
            account.fail(error.code, str(error), model="")
            raise

    async def _read(self, scope: Scope, receive: Receive, hold: Callable[[int], None]) -> ModelRequest | None:
        """Read the request; None if the caller has left."""
        body = await read_body(scope["headers"], receive, hold)
        if body is None:
            return None
        headers, query = scope["headers"], scope["query_string"]
        return read_request(body, wire=self._wire, path=scope["path"], query=query, headers=headers)

    async def _attend(self, account: Account, request: ModelRequest, receive: Receive, reply: Reply) -> None:
        """Answer for as long as somebody waits for it; what is then still read of it goes nowhere."""
        term = Term(account.beyond_s)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_end_when_left, receive, term)
            tasks.start_soon(_cut_when_over, term, reply)
            with account.working(term):
                await self._answer(account, request, term, reply)
            if term.is_over:
                await reply.cut(RefusedError("llm.token", _ENDED))
            tasks.cancel_scope.cancel()

    async def _answer(self, account: Account, request: ModelRequest, term: Term, reply: Reply) -> None:
        try:
            upstream = self._gateway.upstream(account.grant, request)
            if request.is_metered:
                await self._relay(account, upstream, request, term, reply)
            else:
                account.check()
                answer = await upstream.ask(request, term)
                await self._pass_on(account, upstream, request, answer, reply=reply, meter=Meter(self._wire))
        except RefusedError as error:
            if not term.is_over:  # else nobody is there whom it failed
                account.fail(error.code, str(error), model=request.model)
                await reply.refuse(error)

    async def _relay(
        self, account: Account, upstream: Upstream, request: ModelRequest, term: Term, reply: Reply
    ) -> None:
        async with account.admission() as is_last:
            meter, answer = Meter(self._wire, hides_usage=request.hides_usage), None
            try:
                answer = await upstream.ask(with_notice(request) if is_last else request, term)
                await self._pass_on(account, upstream, request, answer, reply=reply, meter=meter)
            finally:
                if is_last and not isinstance(answer, Answer) and not term.is_over:
                    account.give_back()
                self._charge(account, request, meter, answer, term)
            if meter.failure:
                account.fail("llm.failed", meter.failure, model=request.model)

    async def _pass_on(
        self,
        account: Account,
        upstream: Upstream,
        request: ModelRequest,
        answer: Answer | Rejected,
        *,
        reply: Reply,
        meter: Meter,
    ) -> None:
        if isinstance(answer, Rejected):
            reason = f"The provider {upstream.name} refused the call ({answer.status}): {answer.text}"
            account.fail("llm.refused", reason, model=request.model)
            await reply.whole(answer.status, answer.headers, answer.body)
            return
        try:
            await _pass_on(answer, meter, reply)
        finally:
            await answer.close()

    def _charge(
        self, account: Account, request: ModelRequest, meter: Meter, answer: Answer | Rejected | None, term: Term
    ) -> None:
        if term.is_asked:
            size = answer.size if isinstance(answer, Answer) else 0
            tokens = meter.charge(request, size=size, was_left=term.is_over)
            account.charge(tokens, self._gateway.charge_usd(request, tokens))
        if isinstance(answer, Answer):
            account.spend(meter.tokens, self._gateway.cost(request, meter.tokens), model=request.model)


async def _end_when_left(receive: Receive, term: Term) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    term.end()


async def _cut_when_over(term: Term, reply: Reply) -> None:
    """At once, also where the answer is still read."""
    await term.over.wait()
    await reply.cut(RefusedError("llm.token", _ENDED))


async def _pass_on(answer: Answer, meter: Meter, reply: Reply) -> None:
    if answer.is_stream:
        splitter = EventSplitter()
        try:
            await reply.begin(answer.status, answer.headers)
            await _pass_on_stream(answer, splitter, meter, reply)
            await reply.end()
        except anyio.get_cancelled_exc_class():
            await _read_on(answer, splitter, meter)
            raise
    else:
        body = await answer.whole()
        meter.read_whole(body)
        if not meter.has_ended:
            raise RefusedError("llm.truncated", "The answer is no JSON, or not all of it.")
        await reply.whole(answer.status, answer.headers, body)


async def _pass_on_stream(answer: Answer, splitter: EventSplitter, meter: Meter, reply: Reply) -> None:
    """Pass on events as they come whole, and see whether the last one comes."""
    try:
        while chunk := await answer.read():
            await reply.pass_on(meter.read(answer.without_key(splitter.feed(chunk))))
            if meter.has_ended:
                answer.hurry(_END_S)
    except RefusedError:
        if not meter.has_ended:
            raise
    rest = meter.read(answer.without_key(splitter.rest()))
    if not meter.has_ended:
        raise RefusedError("llm.truncated", "The answer ended before its last event.")
    await reply.pass_on(rest)


async def _read_on(answer: Answer, splitter: EventSplitter, meter: Meter) -> None:
    """Read what an answer took, though nobody waits for it, as far as there is time."""
    with suppress(RefusedError):
        while not meter.has_ended and (chunk := await answer.read()):
            meter.read(answer.without_key(splitter.feed(chunk)))
