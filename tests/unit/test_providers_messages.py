"""What is special about models that speak Anthropic's Messages."""

from typing import Any

import pytest
from asked import RawProvider, ask, connect, raw_provider

from agent_image.model import BrokenTurnError, Message, ModelError, Told, ToolAnswer, ToolCall, Turn
from tests.providers.fake import fake_provider
from tests.providers.script import Turn as FakeTurn
from tests.providers.script import call
from tests.providers.sse import event

PROMPT = Told("Do it.")
START = event({"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 1}}})
STOP = event({"type": "message_stop"})


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[bytes]:
    return [
        event({"type": "content_block_start", "index": index, "content_block": start}),
        *(event({"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas),
        event({"type": "content_block_stop", "index": index}),
    ]


def end(reason: str = "end_turn") -> list[bytes]:
    delta = {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 5}}
    return [event(delta), STOP]


async def ask_twice(provider: RawProvider) -> tuple[Turn, list[dict[str, Any]]]:
    """Return the first turn, and what the provider is shown of it."""
    async with connect("messages", provider.url) as model:
        turn = await ask(model, [PROMPT])
        await ask(model, [PROMPT, turn, *(ToolAnswer(call=call.id, ok=False, text="") for call in turn.calls)])
    return turn, provider.bodies[1]["messages"][1:]


def marked(body: dict[str, Any]) -> list[tuple[int, int]]:
    """Which blocks of which messages end what the provider is to keep."""
    return [
        (number, index)
        for number, message in enumerate(body["messages"])
        for index, block in enumerate(message["content"])
        if "cache_control" in block
    ]


async def test_the_beginnings_to_be_kept_move_with_the_conversation_and_are_four_at_most():
    script = [FakeTurn(text="Hm.", calls=[call("run", command="ls"), call("run", command="ls")])]
    conversation: list[Message] = [PROMPT]
    with fake_provider(script) as fake:
        async with connect("messages", fake.url) as model:
            for _ in range(3):
                turn = await ask(model, conversation)
                conversation += [turn, *(ToolAnswer(call=call.id, ok=True, text="x") for call in turn.calls)]
        bodies = [request.body for request in fake.requests]
    assert all(body["system"][-1]["cache_control"] == {"type": "ephemeral"} for body in bodies)
    assert not any("cache_control" in tool for body in bodies for tool in body["tools"])
    assert [marked(body) for body in bodies] == [[(0, 0)], [(0, 0), (2, 1)], [(2, 1), (4, 1)]]


async def test_thoughts_come_back_as_they_were_signed():
    thinking = [
        {"type": "thinking_delta", "thinking": "Let me "},
        {"type": "thinking_delta", "thinking": "see."},
        {"type": "signature_delta", "signature": "c2ln"},
    ]
    answer = [
        START,
        *block(0, {"type": "thinking", "thinking": "", "signature": ""}, *thinking),
        *block(1, {"type": "redacted_thinking", "data": "hidden"}),
        *block(2, {"type": "text", "text": "", "citations": None}, {"type": "text_delta", "text": "\n\n"}),
        *block(3, {"type": "tool_use", "id": "t1", "name": "run", "input": {}}),
        *end("tool_use"),
    ]
    async with raw_provider(answer, [START, *end()]) as provider:
        turn, (shown, answered) = await ask_twice(provider)
    assert (turn.said, turn.calls) == ("\n\n", (ToolCall("t1", "run", "{}"),))
    assert shown == {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "hidden"},
            {"type": "tool_use", "id": "t1", "name": "run", "input": {}},
        ],
    }
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "(empty)", "is_error": True}
    assert answered["content"][0].items() >= result.items()


async def test_a_server_that_sends_less_is_understood():
    answer = [
        event({"type": "message_start", "message": {}}),
        event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hm."}}),
        *block(1, {"type": "tool_use", "id": "t1", "name": "run", "input": {"command": "ls"}}),
        event({"type": "news", "index": None, "delta": {"text": None}, "message": 1}),
        event({"type": "content_block_delta", "index": 0, "delta": {"type": "news", "citation": {}}}),
        *block(2, {"type": "news", "content": [1]}),
        event({"type": "message_delta", "delta": {}}),
        STOP,
    ]
    async with raw_provider(answer, [START, *end()]) as provider:
        turn, (shown, _) = await ask_twice(provider)
    assert (turn.said, turn.calls) == ("Hm.", (ToolCall("t1", "run", '{"command": "ls"}'),))
    assert [block["type"] for block in shown["content"]] == ["text", "tool_use"]


async def test_a_refusal_ends_the_work():
    async with raw_provider([START, *end("refusal")]) as provider, connect("messages", provider.url) as model:
        with pytest.raises(ModelError, match="refused") as raised:
            await ask(model, [PROMPT])
    assert raised.value.code == "llm.refused"
    assert len(provider.bodies) == 1


async def test_the_gateways_reason_in_the_middle_is_told_with_its_code():
    error = {"type": "api_error", "message": "Nothing came for a while.", "code": "llm.silent"}
    answer = [START, event({"type": "error", "error": error})]
    async with raw_provider(answer) as provider, connect("messages", provider.url) as model:
        with pytest.raises(BrokenTurnError, match="Nothing came") as raised:
            await ask(model, [PROMPT])
    assert raised.value.code == "llm.silent"


@pytest.mark.parametrize("temperature", [None, 1.0])
async def test_a_temperature_is_asked_for_in_the_version_that_has_one(temperature: float | None):
    with fake_provider() as fake:
        async with connect("messages", fake.url, temperature=temperature) as model:
            await ask(model, [PROMPT])
        (request,) = fake.requests
    assert (request.headers["anthropic-version"] == "2023-06-01") == (temperature is not None)
