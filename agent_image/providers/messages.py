"""Anthropic's Messages, which others speak too."""

import json
from itertools import groupby
from typing import Any, cast

import httpx2
from anthropic import APIError, AsyncAnthropic
from msgspec import Struct

from agent_image.model import Conversation, Message, Tokens, ToolAnswer, ToolCall, Turn
from agent_image.providers.connection import failures, refusal_error, truncated_error
from agent_image.providers.settings import Settings
from agent_image.providers.wire import SdkEvent, read, readable, whole
from agent_image.speech import Speech

_LONGEST_ANSWER = 16_000
"""Tokens; the provider wants to be told."""
_CACHE = {"cache_control": {"type": "ephemeral"}}
"""Ends a beginning that the provider is to keep; a request may have four."""
_CACHED = 2
"""The latest messages to the model that end one. With two, the last call's is found however long the turn was."""

_WITH_TEMPERATURE = {"anthropic-version": "2023-06-01"}
"""The latest version that has one, for the models that still take it; the SDK's own refuses it for all."""


class _Usage(Struct, frozen=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Message(Struct, frozen=True):
    usage: _Usage = _Usage()


class _Start(Struct, frozen=True):
    message: _Message = _Message()


class _Block(Struct):
    """A piece of an answer; grows while it comes."""

    type: str = "text"
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    """Of a thought that only the provider can read."""
    id: str = ""
    name: str = ""
    input: Any = None
    arguments: str = ""
    """The input as JSON, as it comes."""


class _BlockStart(Struct, frozen=True):
    content_block: _Block
    index: int = 0


class _Delta(Struct, frozen=True):
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""


class _BlockDelta(Struct, frozen=True):
    delta: _Delta
    index: int = 0


class _Stop(Struct, frozen=True):
    stop_reason: str = ""


class _MessageDelta(Struct, frozen=True):
    delta: _Stop = _Stop()
    usage: _Usage = _Usage()


class MessagesModel:
    def __init__(self, settings: Settings, http: httpx2.AsyncClient) -> None:
        access = settings.access
        self._client = AsyncAnthropic(base_url=access.url, api_key=access.token, http_client=http, max_retries=0)
        self._same: dict[str, Any] = {
            "model": settings.model,
            "max_tokens": _LONGEST_ANSWER,
            "tools": [
                {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
                for tool in settings.tools
            ],
            # The tools come before it, so what ends here is both.
            "system": [{"type": "text", "text": settings.instructions, **_CACHE}],
        }
        if settings.temperature is not None:
            self._same |= {"extra_body": {"temperature": settings.temperature}, "extra_headers": _WITH_TEMPERATURE}

    async def ask(self, conversation: Conversation, speech: Speech) -> Turn:
        answer = _Answer(speech)
        messages = cast("Any", _messages(conversation))
        with failures(APIError):
            async with await self._client.messages.create(**self._same, messages=messages, stream=True) as events:
                async for event in events:
                    answer.take(event.type, event)
        return answer.turn()


class _Answer:
    """An answer while it comes."""

    def __init__(self, speech: Speech) -> None:
        self._speech = speech
        self._blocks: dict[int, _Block] = {}
        self._usage: dict[str, int] = {}
        self._stop_reason = ""
        self._is_whole = False

    def take(self, kind: str, event: SdkEvent) -> None:
        match kind:
            case "message_start":
                self._count(read(event, _Start).message.usage)
            case "content_block_start":
                start = read(event, _BlockStart)
                self._blocks[start.index] = start.content_block
            case "content_block_delta":
                more = read(event, _BlockDelta)
                self._add(self._blocks.setdefault(more.index, _Block()), more.delta)
            case "message_delta":
                end = read(event, _MessageDelta)
                self._count(end.usage)
                self._stop_reason = end.delta.stop_reason
            case "message_stop":
                self._is_whole = True
            case _:
                pass

    def turn(self) -> Turn:
        if not self._is_whole:
            raise truncated_error()
        if self._stop_reason == "refusal":
            raise refusal_error()
        blocks = [block for _, block in sorted(self._blocks.items())]
        return Turn(
            whole("".join(block.text for block in blocks if block.type == "text")),
            tuple(ToolCall(block.id, block.name, _arguments(block)) for block in blocks if block.type == "tool_use"),
            Tokens(
                input=self._usage.get("input_tokens", 0),
                output=self._usage.get("output_tokens", 0),
                cache_read=self._usage.get("cache_read_input_tokens", 0),
                cache_write=self._usage.get("cache_creation_input_tokens", 0),
            ),
            is_cut_off=self._stop_reason in {"max_tokens", "model_context_window_exceeded"},
            raw=_raw(blocks),
        )

    def _count(self, usage: _Usage) -> None:
        """Take totals so far; those that the start told and the end leaves out stay."""
        told = {name: getattr(usage, name) for name in usage.__struct_fields__}
        self._usage |= {name: count for name, count in told.items() if count is not None}

    def _add(self, block: _Block, delta: _Delta) -> None:
        self._speech.thought(delta.thinking)
        self._speech.text(delta.text)
        block.thinking += delta.thinking
        block.text += delta.text
        block.signature += delta.signature
        block.arguments += delta.partial_json


def _arguments(block: _Block) -> str:
    return whole(block.arguments) or json.dumps(block.input or {})


def _raw(blocks: list[_Block]) -> tuple[dict[str, Any], ...]:
    """The content of the turn's message, without the blank texts that the provider refuses; none if it only thought."""
    content: list[dict[str, Any]] = []
    for block in blocks:
        match block.type:
            case "text" if block.text.strip():
                content.append({"type": "text", "text": whole(block.text)})
            case "tool_use":
                given = json.loads(readable(_arguments(block)))
                content.append({"type": "tool_use", "id": block.id, "name": block.name, "input": given})
            case "thinking":
                content.append({"type": "thinking", "thinking": whole(block.thinking), "signature": block.signature})
            case "redacted_thinking":
                content.append({"type": "redacted_thinking", "data": block.data})
            case _:
                pass
    return tuple(content) if any(block["type"] in {"text", "tool_use"} for block in content) else ()


def _messages(conversation: Conversation) -> list[dict[str, Any]]:
    """The roles take turns: what is told to the model between two turns of its own is one message."""
    shown = [message for message in conversation if not isinstance(message, Turn) or message.raw]
    messages: list[dict[str, Any]] = [
        {"role": role, "content": [block for message in group for block in _content(message)]}
        for role, group in groupby(shown, lambda message: "assistant" if isinstance(message, Turn) else "user")
    ]
    for message in [message for message in messages if message["role"] == "user"][-_CACHED:]:
        message["content"][-1] |= _CACHE
    return messages


def _content(message: Message) -> tuple[dict[str, Any], ...]:
    match message:
        case Turn(raw=raw):
            return raw
        case ToolAnswer(call=call, ok=ok, text=text):
            return ({"type": "tool_result", "tool_use_id": call, "content": text or "(empty)", "is_error": not ok},)
        case _:
            return ({"type": "text", "text": message.text},)
