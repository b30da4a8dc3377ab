"""What is special about models that speak Chat Completions, each in a way of its own."""

from typing import Any

import pytest
from asked import ask, connect, raw_provider

from agent_image.model import BrokenTurnError, Message, ModelError, Told, ToolAnswer, ToolCall, Turn
from tests.providers.sse import data

PROMPT = Told("Do it.")
DONE = b"data: [DONE]\n\n"


def chunks(*deltas: dict[str, Any], finish_reason: str | None = "stop") -> list[bytes]:
    said = [data({"choices": [{"index": 0, "delta": delta}]}) for delta in deltas]
    return [*said, data({"choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]}), DONE]


def call(**fields: Any) -> dict[str, Any]:
    return {"tool_calls": [fields]}


async def shown_again(answer: list[bytes]) -> tuple[Turn, list[dict[str, Any]]]:
    """Return the turn, and what the provider is shown of it and after it."""
    async with raw_provider(answer, chunks()) as provider, connect("chat", provider.url) as model:
        turn = await ask(model, [PROMPT])
        answers: list[Message] = [ToolAnswer(call=call.id, ok=True, text="x") for call in turn.calls]
        await ask(model, [PROMPT, turn, *answers])
    return turn, provider.bodies[1]["messages"][2:]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_thoughts_come_back_under_the_name_they_had(name: str):
    deltas = [{"role": "assistant", "content": None, name: ""}, {name: "Let me "}, {name: "see."}, {"content": "Yes."}]
    turn, shown = await shown_again(chunks(*deltas))
    assert turn.said == "Yes."
    assert shown == [{"role": "assistant", "content": "Yes.", name: "Let me see."}]


async def test_thoughts_that_were_empty_come_back_empty():
    run = call(index=0, id="c1", type="function", function={"name": "run", "arguments": "{}"})
    _, (shown, _) = await shown_again(chunks({"reasoning_content": ""}, run))
    assert shown["reasoning_content"] == ""


async def test_thoughts_that_are_told_under_two_names_are_thought_once():
    _, (shown,) = await shown_again(chunks({"reasoning_content": "Hm.", "reasoning": "Hm."}, {"content": "Yes."}))
    assert shown == {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}


async def test_calls_may_come_whole_without_a_number_and_with_a_signature():
    signed = {"google": {"thought_signature": "c2ln"}}
    first = call(id="a", type="function", function={"name": "run", "arguments": "{}"}, extra_content=signed)
    second = call(function={"name": "read", "arguments": ""})
    turn, (shown, *answers) = await shown_again(chunks(first, second))
    assert turn.calls == (ToolCall("a", "run", "{}"), ToolCall("call_1", "read", "{}"))
    assert shown["content"] is None
    assert [each.get("extra_content") for each in shown["tool_calls"]] == [signed, None]
    assert [answer["tool_call_id"] for answer in answers] == ["a", "call_1"]


async def test_a_name_that_is_told_with_every_piece_is_one_name():
    pieces = [
        call(index=0, id="a", function={"name": "run", "arguments": piece}) for piece in ('{"comma', 'nd": "ls"}')
    ]
    turn, _ = await shown_again(chunks(*pieces))
    assert turn.calls == (ToolCall("a", "run", '{"command": "ls"}'),)


async def test_characters_that_came_in_two_halves_are_whole():
    turn, (shown,) = await shown_again(chunks({"content": "\ud83d"}, {"content": "\ude00 \ud800"}))
    assert turn.said == shown["content"] == "😀 \ufffd"


async def test_an_answer_without_a_last_word_is_whole_if_it_has_a_reason_to_end():
    last = data({"choices": [{"delta": {"content": "Yes."}, "finish_reason": "stop"}]})
    turn, _ = await shown_again([last, data({"usage": {"prompt_tokens": 3}})])
    assert turn.said == "Yes."
    assert turn.tokens is not None
    assert turn.tokens.input == 3


async def test_an_answer_without_a_reason_to_end_is_not_whole():
    with pytest.raises(BrokenTurnError) as raised:
        await shown_again(chunks({"content": "Yes."}, finish_reason=None))
    assert raised.value.code == "llm.truncated"


@pytest.mark.parametrize(
    "answer",
    [b"data: oops\n\n", b"data: \xff\n\n", b'data: {"choices": [{"delta": {"content": 1}}]}\n\n', b"oops", b""],
)
async def test_what_cannot_be_read_is_worth_another_try(answer: bytes):
    with pytest.raises(BrokenTurnError):
        await shown_again([answer])


async def test_the_gateways_reason_in_the_middle_is_told_with_its_code():
    error = {"message": "Nothing came for a while.", "type": "server_error", "param": None, "code": "llm.silent"}
    with pytest.raises(BrokenTurnError, match="Nothing came") as raised:
        await shown_again([*chunks({"content": "Yes."}, finish_reason=None)[:1], data({"error": error})])
    assert raised.value.code == "llm.silent"


@pytest.mark.parametrize("answer", [chunks(finish_reason="content_filter"), chunks({"refusal": "I will not."})])
async def test_a_refusal_ends_the_work(answer: list[bytes]):
    with pytest.raises(ModelError, match="refused") as raised:
        await shown_again(answer)
    assert raised.value.code == "llm.refused"
