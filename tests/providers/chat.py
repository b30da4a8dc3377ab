"""OpenAI's Chat Completions."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from tests.providers.openai_errors import error_body as error_body  # noqa: PLC0414
from tests.providers.script import Answer, Conversation, Tokens, ToolCall, pieces, turns_of_model
from tests.providers.sse import data


def read(body: Mapping[str, Any]) -> Conversation:
    options: Mapping[str, Any] | None = body.get("stream_options")
    return Conversation(
        model=body["model"],
        answered=turns_of_model([message["role"] == "assistant" for message in body.get("messages", ())]),
        tools=[tool["function"]["name"] for tool in body.get("tools", ()) if tool["type"] == "function"],
        stream=body.get("stream", False),
        usage=bool(options and options.get("include_usage")),
    )


def whole(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, "refusal": None}
    if answer.thinking:
        message["reasoning_content"] = answer.thinking
    if answer.calls:
        message["tool_calls"] = [{**_call(call), "function": _function(call)} for call in answer.calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}
    return {**_completion(answer, "chat.completion"), "choices": [choice], "usage": _usage(answer.tokens)}


def events(answer: Answer, conversation: Conversation) -> Iterator[bytes]:
    chunk = _completion(answer, "chat.completion.chunk")
    if conversation.usage:
        chunk["usage"] = None
    for delta in _deltas(answer):
        yield data({**chunk, "choices": [_choice(delta, None)]})
    yield data({**chunk, "choices": [_choice({}, _finish_reason(answer))]})
    if conversation.usage:
        yield data({**chunk, "choices": [], "usage": _usage(answer.tokens)})
    yield b"data: [DONE]\n\n"


def error_event(_: Answer, error: str, message: str) -> bytes:
    return data(error_body(503, error, message))


def _completion(answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.id}",
        "object": kind,
        "created": int(time.time()),
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
    }


def _choice(delta: Mapping[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _deltas(answer: Answer) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": None if answer.calls and not answer.text else "", "refusal": None}
    yield from ({"reasoning_content": piece} for piece in pieces(answer.thinking))
    yield from ({"content": piece} for piece in pieces(answer.text))
    for index, call in enumerate(answer.calls):
        yield {"tool_calls": [{"index": index, **_call(call), "function": {"name": call.tool, "arguments": ""}}]}
        for piece in pieces(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": f"call_{call.id}", "type": "function"}


def _function(call: ToolCall) -> dict[str, str]:
    return {"name": call.tool, "arguments": call.arguments}


def _finish_reason(answer: Answer) -> str:
    if answer.is_cut_short:
        return "length"
    return "tool_calls" if answer.calls else "stop"


def _usage(tokens: Tokens) -> dict[str, Any]:
    prompt = tokens.input + tokens.cache_read + tokens.cache_write
    return {
        "prompt_tokens": prompt,
        "completion_tokens": tokens.output,
        "total_tokens": prompt + tokens.output,
        "prompt_tokens_details": {
            "cached_tokens": tokens.cache_read,
            "cache_write_tokens": tokens.cache_write,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
