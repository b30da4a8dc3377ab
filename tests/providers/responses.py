"""OpenAI's Responses."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tests.providers.openai_errors import error_body as error_body  # noqa: PLC0414
from tests.providers.script import SOURCE, Answer, Conversation, Tokens, pieces, turns_of_model
from tests.providers.sse import event

_OF_MODEL = {"reasoning", "function_call", "custom_tool_call", "local_shell_call", "web_search_call"}
_CUSTOM = {"type": "custom_tool_call", "status": "completed", "namespace": "functions"}
"""A call of a tool that takes a program."""


def read(body: Mapping[str, Any]) -> Conversation:
    given = body.get("input", ())
    items: Sequence[Mapping[str, Any]] = () if isinstance(given, str) else given
    return Conversation(
        model=body["model"],
        answered=turns_of_model([_is_of_model(item) for item in items]),
        tools=list(_tools([*body.get("tools", ()), *items])),
        stream=body.get("stream", False),
    )


def _tools(offered: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The names of tools; Codex offers those of its newest models in namespaces, as the first item of the input."""
    for tool in offered:
        if tool.get("type") in {"additional_tools", "namespace"}:
            yield from _tools(tool["tools"])
        elif tool.get("type") not in {"message", *_OF_MODEL} and "role" not in tool:
            yield tool.get("name", tool.get("type", ""))


def whole(answer: Answer) -> dict[str, Any]:
    status = "incomplete" if answer.is_cut_short else "completed"
    return {
        **_response(answer, status),
        "output": list(_items(answer)),
        "usage": _usage(answer.tokens),
        "incomplete_details": {"reason": "max_output_tokens"} if answer.is_cut_short else None,
    }


def events(answer: Answer, _: Conversation) -> Iterator[bytes]:
    for number, data in enumerate(_events(answer)):
        yield event({**data, "sequence_number": number})


def error_event(answer: Answer, error: str, message: str) -> bytes:
    """Say it twice, as OpenAI does."""
    said = {"code": error or "server_error", "message": message}
    failed = {**_response(answer, "failed"), "error": said}
    return event({"type": "error", **said, "param": None, "sequence_number": 0}) + event(
        {"type": "response.failed", "response": failed, "sequence_number": 1}
    )


def _is_of_model(item: Mapping[str, Any]) -> bool:
    return item.get("role") == "assistant" or item.get("type") in _OF_MODEL


def _response(answer: Answer, status: str) -> dict[str, Any]:
    return {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": answer.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": {},
    }


def _usage(tokens: Tokens) -> dict[str, Any]:
    given = tokens.input + tokens.cache_read + tokens.cache_write
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": given + tokens.output,
    }


def _items(answer: Answer) -> Iterator[dict[str, Any]]:
    if answer.thinking:
        summary = [{"type": "summary_text", "text": answer.thinking}]
        yield {"id": f"rs_{answer.id}", "type": "reasoning", "summary": summary}
    if answer.text:
        yield {**_message(answer, "completed"), "content": [_text(answer.text)]}
    for call in answer.calls:
        if program := json.loads(call.arguments).get(SOURCE) if call.arguments.endswith("}") else None:
            yield {**_CUSTOM, "id": f"ctc_{call.id}", "call_id": f"call_{call.id}", "name": call.tool, "input": program}
            continue
        yield {
            "id": f"fc_{call.id}",
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_{call.id}",
            "name": call.tool,
            "arguments": call.arguments,
        }


def _message(answer: Answer, status: str) -> dict[str, Any]:
    return {"id": f"msg_{answer.id}", "type": "message", "status": status, "role": "assistant", "content": []}


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _events(answer: Answer) -> Iterator[dict[str, Any]]:
    running = _response(answer, "in_progress")
    yield {"type": "response.created", "response": running}
    yield {"type": "response.in_progress", "response": running}
    for index, item in enumerate(_items(answer)):
        yield from ({**data, "output_index": index} for data in _item_events(item))
    response = whole(answer)
    yield {"type": f"response.{response['status']}", "response": response}


def _item_events(item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    start, between = _ITEM_EVENTS[item["type"]]
    yield {"type": "response.output_item.added", "item": {**item, **start}}
    yield from ({**data, "item_id": item["id"]} for data in between(item))
    yield {"type": "response.output_item.done", "item": item}


def _summary_events(item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    part = item["summary"][0]
    yield {"type": "response.reasoning_summary_part.added", "summary_index": 0, "part": {**part, "text": ""}}
    for piece in pieces(part["text"]):
        yield {"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": piece}
    yield {"type": "response.reasoning_summary_text.done", "summary_index": 0, "text": part["text"]}
    yield {"type": "response.reasoning_summary_part.done", "summary_index": 0, "part": part}


def _text_events(item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    part = item["content"][0]
    yield {"type": "response.content_part.added", "content_index": 0, "part": _text("")}
    for piece in pieces(part["text"]):
        yield {"type": "response.output_text.delta", "content_index": 0, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", "content_index": 0, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", "content_index": 0, "part": part}


def _arguments_events(item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for piece in pieces(item["arguments"]):
        yield {"type": "response.function_call_arguments.delta", "delta": piece}
    arguments = item["arguments"]
    yield {"type": "response.function_call_arguments.done", "name": item["name"], "arguments": arguments}


def _input_events(item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for piece in pieces(item["input"]):
        yield {"type": "response.custom_tool_call_input.delta", "delta": piece}
    yield {"type": "response.custom_tool_call_input.done", "input": item["input"]}


_ITEM_EVENTS: Mapping[str, tuple[Mapping[str, Any], Callable[[Mapping[str, Any]], Iterator[dict[str, Any]]]]] = {
    "reasoning": ({"summary": []}, _summary_events),
    "message": ({"status": "in_progress", "content": []}, _text_events),
    "function_call": ({"status": "in_progress", "arguments": ""}, _arguments_events),
    "custom_tool_call": ({"status": "in_progress", "input": ""}, _input_events),
}
"""What differs at an item's start from the whole of it, and the events between."""
