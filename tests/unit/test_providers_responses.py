"""What is special about models that speak OpenAI's Responses."""

from typing import Any

import pytest
from asked import ask, connect, raw_provider

from agent_image.model import BrokenTurnError, ModelError, Tokens, Told, ToolAnswer, ToolCall, Turn
from tests.providers.sse import event

PROMPT = Told("Do it.")


def done(*items: dict[str, Any], **response: Any) -> list[bytes]:
    """An answer of these items."""
    ended = [event({"type": "response.output_item.done", "output_index": 0, "item": item}) for item in items]
    return [*ended, event({"type": "response.completed", "response": {"id": "r", "output": [], **response}})]


def message(text: str, **more: Any) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part], **more}


CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "run", "arguments": "{}", "status": "completed"}
THOUGHT: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": []}


async def shown_again(*answers: list[bytes]) -> tuple[Turn, list[dict[str, Any]]]:
    """Ask as often as there are answers; return the first turn, and the requests."""
    async with raw_provider(*answers) as provider, connect("responses", provider.url) as model:
        first = turn = await ask(model, [PROMPT])
        conversation = [PROMPT]
        for _ in answers[1:]:
            conversation += [turn, *(ToolAnswer(call=call.id, ok=True, text="x") for call in turn.calls)]
            turn = await ask(model, conversation)
    return first, provider.bodies


async def test_nothing_is_stored_and_nothing_refers_to_what_is():
    turn, (first, second) = await shown_again(done(message("Hm.", phase="commentary"), CALL), done())
    assert (turn.said, turn.calls, turn.tokens) == ("Hm.", (ToolCall("c1", "run", "{}"),), None)
    assert first["store"] is False
    assert first["prompt_cache_key"] == "run/0"
    assert "include" not in second
    assert second["input"] == [
        {"role": "user", "content": "Do it."},
        {"role": "assistant", "content": "Hm.", "phase": "commentary"},
        {"type": "function_call", "call_id": "c1", "name": "run", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "x"},
    ]


async def test_a_model_that_thinks_is_asked_for_its_thoughts_and_shown_them_again():
    sealed: dict[str, Any] = {**THOUGHT, "encrypted_content": "sealed", "content": []}
    _, (first, second, third) = await shown_again(done(THOUGHT, CALL), done(sealed, CALL), done())
    assert "include" not in first
    assert second["include"] == third["include"] == ["reasoning.encrypted_content"]
    thoughts = [item for item in third["input"] if item.get("type") == "reasoning"]
    assert thoughts == [{"type": "reasoning", "summary": [], "encrypted_content": "sealed"}]
    assert [item.get("type") for item in second["input"]] == [None, "function_call", "function_call_output"]


async def test_what_is_new_is_passed_over():
    news = [event({"type": "response.news", "delta": {"text": 1}, "item": None, "response": 1})]
    news += [event({"type": "response.output_item.done", "item": {"type": "news", "content": None, "name": None}})]
    turn, _ = await shown_again([*news, *done(message("Hm."))])
    assert turn.said == "Hm."
    assert len(turn.raw) == 1


async def test_tokens_are_told_apart_where_the_server_does():
    usage = {"input_tokens": 10, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 4}}
    turn, _ = await shown_again(done(usage=usage))
    assert turn.tokens == Tokens(input=6, output=3, cache_read=4)
    turn, _ = await shown_again(done(usage={"input_tokens": 10, "output_tokens": 3}))
    assert turn.tokens == Tokens(input=10, output=3)


@pytest.mark.parametrize(
    "answer",
    [
        done({"type": "message", "content": [{"type": "refusal", "refusal": "I will not."}]}),
        [event({"type": "response.incomplete", "response": {"incomplete_details": {"reason": "content_filter"}}})],
    ],
)
async def test_a_refusal_ends_the_work(answer: list[bytes]):
    with pytest.raises(ModelError, match="refused") as raised:
        await shown_again(answer)
    assert raised.value.code == "llm.refused"
    assert not isinstance(raised.value, BrokenTurnError)


@pytest.mark.parametrize("code", ["server_error", "llm.truncated"])
@pytest.mark.parametrize("kind", ["response.failed", "error", "error of the gateway"])
async def test_a_failure_in_the_middle_is_worth_another_try(kind: str, code: str):
    error = {"code": code, "message": "The upstream is gone."}
    failed = {
        "response.failed": {"type": kind, "response": {"status": "failed", "error": error}},
        "error": {"type": kind, **error},
        "error of the gateway": {"type": "error", "error": error},
    }[kind]
    with pytest.raises(BrokenTurnError, match="The upstream is gone") as raised:
        await shown_again([event(failed)])
    assert raised.value.code == (code if code.startswith("llm.") else "llm.failed")
