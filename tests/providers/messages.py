"""Anthropic's Messages."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tests.providers.script import Answer, Conversation, Tokens, pieces, turns_of_model
from tests.providers.sse import event

_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


def read(body: Mapping[str, Any]) -> Conversation:
    return Conversation(
        model=body["model"],
        answered=turns_of_model([message["role"] == "assistant" for message in body.get("messages", ())]),
        tools=[tool["name"] for tool in body.get("tools", ())],
        stream=body.get("stream", False),
    )


def whole(answer: Answer) -> dict[str, Any]:
    message = _message(answer)
    return {**message, "content": list(_blocks(answer)), "stop_reason": _stop_reason(answer)}


def events(answer: Answer, _: Conversation) -> Iterator[bytes]:
    yield event({"type": "message_start", "message": _message(answer)})
    yield event({"type": "ping"})
    for index, block in enumerate(_blocks(answer)):
        yield from (event({**data, "index": index}) for data in _block_events(block))
    delta = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
    yield event({"type": "message_delta", "delta": delta, "usage": _usage(answer.tokens)})
    yield event({"type": "message_stop"})


def error_body(status: int, error: str, message: str) -> dict[str, Any]:
    error = error or _ERRORS.get(status, "api_error")
    return {"type": "error", "error": {"type": error, "message": message}, "request_id": "req_fake"}


def error_event(_: Answer, error: str, message: str) -> bytes:
    return event(error_body(529, error, message))


def _message(answer: Answer) -> dict[str, Any]:
    return {
        "id": f"msg_{answer.id}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(answer.tokens),
    }


def _usage(tokens: Tokens) -> dict[str, Any]:
    return {
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read,
        "output_tokens": tokens.output,
    }


def _stop_reason(answer: Answer) -> str:
    if answer.is_cut_short:
        return "max_tokens"
    return "tool_use" if answer.calls else "end_turn"


def _blocks(answer: Answer) -> Iterator[dict[str, Any]]:
    if answer.thinking:
        yield {"type": "thinking", "thinking": answer.thinking, "signature": "c2lnbmVk"}
    if answer.text:
        yield {"type": "text", "text": answer.text}
    for call in answer.calls:
        yield {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.tool, "input": _input(call.arguments)}


def _input(arguments: str) -> Any:
    """The arguments, or their text where they are no JSON."""
    try:
        return msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return arguments


def _block_events(block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    start, deltas = _start_and_deltas(block)
    yield {"type": "content_block_start", "content_block": {**block, **start}}
    yield from ({"type": "content_block_delta", "delta": delta} for delta in deltas)
    yield {"type": "content_block_stop"}


def _start_and_deltas(block: Mapping[str, Any]) -> tuple[dict[str, Any], Iterator[dict[str, str]]]:
    """What differs at a block's start from the whole of it, and what comes after."""
    match block["type"]:
        case "thinking":
            return {"thinking": "", "signature": ""}, _thinking_deltas(block)
        case "text":
            return {"text": ""}, ({"type": "text_delta", "text": piece} for piece in pieces(block["text"]))
        case _:
            given = block["input"]
            arguments = given if isinstance(given, str) else json.dumps(given)
            parts = ["", *pieces(arguments)]
            return {"input": {}}, ({"type": "input_json_delta", "partial_json": part} for part in parts)


def _thinking_deltas(block: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for piece in pieces(block["thinking"]):
        yield {"type": "thinking_delta", "thinking": piece}
    yield {"type": "signature_delta", "signature": block["signature"]}
