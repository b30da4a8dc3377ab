"""What all models of providers promise, whatever their wire format; asked over the real SDKs."""

from collections.abc import AsyncGenerator, Callable, Generator
from itertools import pairwise
from typing import Any, cast

import anyio
import msgspec
import pytest
from any_wire import PATHS
from asked import WIRES, answers_in, ask, connect

from agent_image.gateway.plan import Wire
from agent_image.model import BrokenTurnError, Message, Model, ModelError, Tokens, Told, ToolAnswer
from tests.providers.fake import FakeProvider, fake_provider
from tests.providers.faults import (
    BEFORE_HEAD,
    BROKEN_ARGUMENTS,
    Fault,
    cut_after,
    end_after,
    error_after,
    refused,
    silence_after,
)
from tests.providers.script import Tokens as FakeTokens
from tests.providers.script import Turn as FakeTurn
from tests.providers.script import call, submit

PROMPT = Told("Do it.")
LOOK = FakeTurn(
    text="I shall look around first, and then we shall see.",
    thinking="What may there be in this place?",
    calls=[call("run", command="echo one"), call("run", command="echo two")],
)
SCRIPT = (LOOK, FakeTurn(calls=[submit()]))


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.param


@pytest.fixture
def fake() -> Generator[FakeProvider]:
    with fake_provider(SCRIPT, tokens=FakeTokens(input=100, output=20, cache_read=30, cache_write=4)) as fake:
        yield fake


@pytest.fixture
async def model(wire: Wire, fake: FakeProvider) -> AsyncGenerator[Model]:
    async with connect(wire, fake.url) as model:
        yield model


async def test_a_turn_has_text_calls_and_tokens(model: Model, wire: Wire, fake: FakeProvider):
    turn = await ask(model, [PROMPT])
    assert turn.said == LOOK.text
    assert [(call.tool, call.arguments) for call in turn.calls] == [
        ("run", '{"command": "echo one"}'),
        ("run", '{"command": "echo two"}'),
    ]
    assert len({call.id for call in turn.calls}) == 2
    assert turn.tokens == Tokens(input=100, output=20, cache_read=30, cache_write=4)
    (request,) = fake.requests
    assert request.path == PATHS[wire]
    assert request.key == "fake-key"
    assert "Be good." in msgspec.json.encode(request.body).decode()


async def test_answers_go_back_together_in_the_order_of_the_calls(model: Model, wire: Wire, fake: FakeProvider):
    turn = await ask(model, [PROMPT])
    answers = [ToolAnswer(call=call.id, ok=True, text=call.arguments) for call in turn.calls]
    last = await ask(model, [PROMPT, turn, *answers])
    assert [call.tool for call in last.calls] == ["submit"]
    assert answers_in(wire, fake.requests[1].body) == [(answer.call, answer.text) for answer in answers]


async def test_what_was_sent_is_sent_the_same_again(model: Model, wire: Wire, fake: FakeProvider):
    conversation: list[Message] = [PROMPT]
    for _ in range(3):
        turn = await ask(model, conversation)
        conversation += [turn, *(ToolAnswer(call=call.id, ok=True, text="x") for call in turn.calls)]
    sent = [_without_marks(request.body) for request in fake.requests]
    said = "input" if wire == "responses" else "messages"
    for earlier, later in pairwise(sent):
        assert later[said][: len(earlier[said])] == earlier[said]
        assert {**later, said: []} == {**earlier, said: []}


def _without_marks(body: Any) -> Any:
    match body:
        case dict():
            fields = cast("dict[str, Any]", body)
            # A model that was seen to think is asked for its thoughts from then on.
            return {name: _without_marks(field) for name, field in fields.items() if name not in _MARKS}
        case list():
            return [_without_marks(item) for item in cast("list[Any]", body)]
        case _:
            return body


_MARKS = {"cache_control", "include"}


@pytest.mark.parametrize("fault", [error_after, cut_after, end_after])
async def test_an_answer_that_ends_anywhere_but_at_its_end_is_no_turn(
    model: Model, fake: FakeProvider, fault: Callable[[int], Fault]
):
    codes: list[str] = []
    turn = None
    while turn is None:
        fake.fail_next(fault(len(codes)))
        try:
            turn = await ask(model, [PROMPT])
        except BrokenTurnError as error:
            codes.append(error.code)
    assert (turn.said, len(turn.calls)) == (LOOK.text, 2)
    assert len(codes) > 15  # its events, the last ones apart
    assert set(codes) <= {"llm.failed", "llm.truncated"}


async def test_arguments_that_are_no_json_come_back_as_an_empty_object(model: Model, wire: Wire, fake: FakeProvider):
    fake.fail_next(BROKEN_ARGUMENTS)
    turn = await ask(model, [PROMPT])
    assert turn.calls[0].arguments == '{"command": "echo one"!!'
    answers = [ToolAnswer(call=call.id, ok=False, text="error: bad arguments") for call in turn.calls]
    await ask(model, [PROMPT, turn, *answers])
    sent = msgspec.json.encode(fake.requests[1].body).decode()
    assert "!!" not in sent
    assert {"messages": '"input":{}', "responses": '"arguments":"{}"', "chat": '"arguments":"{}"'}[wire] in sent


@pytest.mark.parametrize("temperature", [None, 0.0, 0.7])
async def test_a_temperature_is_sent_only_where_one_was_asked_for(
    wire: Wire, fake: FakeProvider, temperature: float | None
):
    async with connect(wire, fake.url, temperature=temperature) as model:
        await ask(model, [PROMPT])
    assert fake.requests[0].body.get("temperature", None) == temperature
    assert ("temperature" in fake.requests[0].body) == (temperature is not None)


async def test_an_answer_that_reached_its_longest_is_cut_off(wire: Wire):
    with fake_provider([FakeTurn(text="I thi", is_cut_short=True)]) as fake:
        async with connect(wire, fake.url) as model:
            turn = await ask(model, [PROMPT])
    assert (turn.said, turn.calls, turn.is_cut_off) == ("I thi", (), True)


async def test_an_empty_answer_is_not_shown_to_its_provider_again(wire: Wire):
    with fake_provider([FakeTurn()]) as fake:
        async with connect(wire, fake.url) as model:
            turn = await ask(model, [PROMPT])
            await ask(model, [PROMPT, turn, Told("Go on.")])
    assert (turn.said, turn.calls) == ("", ())
    assert "assistant" not in msgspec.json.encode(fake.requests[1].body).decode()


def _refusal(wire: Wire, code: str) -> str:
    error = {"message": f"No. ({code})", "type": "permission_error", "code": code}
    return msgspec.json.encode({"type": "error", "error": error} if wire == "messages" else {"error": error}).decode()


@pytest.mark.parametrize("code", ["llm.budget", "llm.auth", "llm.token"])
async def test_the_gateways_reason_is_told_with_its_code(model: Model, wire: Wire, fake: FakeProvider, code: str):
    fake.fail_next(Fault(status=403, body=_refusal(wire, code)))
    with pytest.raises(ModelError, match=r"No\.") as raised:
        await ask(model, [PROMPT])
    assert raised.value.code == code
    assert not isinstance(raised.value, BrokenTurnError)
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (refused(400), "llm.refused"),
        (refused(401), "llm.auth"),
        (refused(413), "llm.request_too_large"),
        (refused(429, retry_after="1"), "llm.rate_limited"),
        (refused(503), "llm.unavailable"),
        (refused(529), "llm.unavailable"),
        (Fault(status=502, body="<html>" + "oops" * 1000), "llm.unavailable"),
        (Fault(status=500, body='{"error": "oops"}'), "llm.unavailable"),
        (Fault(status=404, body="[]"), "llm.refused"),
    ],
)
async def test_a_refusal_is_final_and_has_a_code(model: Model, fake: FakeProvider, fault: Fault, code: str):
    fake.fail_next(fault)
    with pytest.raises(ModelError) as raised:
        await ask(model, [PROMPT])
    assert raised.value.code == code
    assert not isinstance(raised.value, BrokenTurnError)
    assert len(str(raised.value)) <= 500
    assert len(fake.requests) == 1


async def test_a_gateway_that_is_not_there_is_worth_another_try(model: Model, fake: FakeProvider):
    fake.stop()
    with pytest.raises(BrokenTurnError) as raised:
        await ask(model, [PROMPT])
    assert raised.value.code == "llm.unavailable"
    fake.start()
    assert (await ask(model, [PROMPT])).said == LOOK.text


async def test_a_connection_that_is_cut_before_an_answer_is_worth_another_try(model: Model, fake: FakeProvider):
    fake.fail_next(cut_after(BEFORE_HEAD))
    with pytest.raises(BrokenTurnError) as raised:
        await ask(model, [PROMPT])
    assert raised.value.code == "llm.truncated"


async def test_an_agent_that_is_stopped_leaves_its_call(model: Model, fake: FakeProvider):
    fake.fail_next(silence_after(3))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, model, [PROMPT])
        await fake.until(lambda: fake.open == 1)
        tasks.cancel_scope.cancel()
    await fake.until(lambda: fake.left == 1)
