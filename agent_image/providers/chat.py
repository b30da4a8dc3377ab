"""OpenAI's Chat Completions, which most others speak, each in a way of its own: nothing is sent but what all know."""

from typing import Any, cast

import httpx2
from msgspec import Struct
from openai import APIError, AsyncOpenAI

from agent_image.model import Conversation, Message, Tokens, ToolAnswer, ToolCall, Turn
from agent_image.providers.connection import failures, refusal_error, truncated_error
from agent_image.providers.settings import Settings
from agent_image.providers.wire import read, readable, whole
from agent_image.speech import Speech

_THOUGHTS = ("reasoning_content", "reasoning")
"""What thoughts are called; where both are told, they are the same."""


class _Function(Struct, frozen=True):
    name: str = ""
    arguments: str = ""


class _CallDelta(Struct, frozen=True):
    index: int | None = None
    """None from servers that send each call in one piece."""
    id: str = ""
    function: _Function = _Function()
    extra_content: Any = None
    """Gemini's signature of the thought behind a call; it wants it back."""


class _Delta(Struct, frozen=True):
    content: str = ""
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str = ""
    tool_calls: tuple[_CallDelta, ...] = ()


class _Choice(Struct, frozen=True):
    delta: _Delta = _Delta()
    finish_reason: str = ""


class _Details(Struct, frozen=True):
    cached_tokens: int = 0
    cache_write_tokens: int = 0


class _Usage(Struct, frozen=True):
    prompt_tokens: int = 0
    """All of them, those in the details too."""
    completion_tokens: int = 0
    prompt_tokens_details: _Details = _Details()


class _Chunk(Struct, frozen=True):
    choices: tuple[_Choice, ...] = ()
    usage: _Usage | None = None


class _Call(Struct):
    """A call while it comes."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    extra: Any = None


class ChatModel:
    def __init__(self, settings: Settings, http: httpx2.AsyncClient) -> None:
        access = settings.access
        url = f"{access.url}/v1"
        self._client = AsyncOpenAI(base_url=url, api_key=access.token, http_client=http, max_retries=0)
        self._instructions: dict[str, Any] = {"role": "system", "content": settings.instructions}
        self._same: dict[str, Any] = {
            "model": settings.model,
            "tools": [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
                }
                for tool in settings.tools
            ],
            "stream_options": {"include_usage": True},
        }
        if settings.temperature is not None:
            self._same["temperature"] = settings.temperature

    async def ask(self, conversation: Conversation, speech: Speech) -> Turn:
        answer = _Answer(speech)
        messages = cast("Any", [self._instructions, *(told for message in conversation for told in _messages(message))])
        with failures(APIError):
            create = self._client.chat.completions.create
            async with await create(**self._same, messages=messages, stream=True) as chunks:
                async for chunk in chunks:
                    answer.take(read(chunk, _Chunk))
        return answer.turn()


class _Answer:
    """An answer while it comes."""

    def __init__(self, speech: Speech) -> None:
        self._speech = speech
        self._said = ""
        self._refusal = ""
        self._thoughts: dict[str, str] = {}
        self._calls: dict[int, _Call] = {}
        self._usage: _Usage | None = None
        self._finish_reason = ""

    def take(self, chunk: _Chunk) -> None:
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices[:1]:
            self._finish_reason = choice.finish_reason or self._finish_reason
            self._add(choice.delta)

    def turn(self) -> Turn:
        if not self._finish_reason:
            raise truncated_error()
        if self._refusal or self._finish_reason == "content_filter":
            raise refusal_error(self._refusal)
        message: dict[str, Any] = {"role": "assistant", "content": whole(self._said) or None, **self._thoughts}
        calls = tuple(ToolCall(call.id, call.name, whole(call.arguments) or "{}") for call in self._calls.values())
        if calls:
            message["tool_calls"] = [_again(call) for call in self._calls.values()]
        return Turn(
            whole(self._said),
            calls,
            _tokens(self._usage),
            is_cut_off=self._finish_reason == "length",
            raw=(message,) if self._said or calls else (),
        )

    def _add(self, delta: _Delta) -> None:
        for name in _THOUGHTS:
            if isinstance(thought := getattr(delta, name), str):
                self._speech.thought(thought)
                # Those who tell their thoughts want them back under the same name, though they be empty.
                self._thoughts[name] = whole(self._thoughts.get(name, "") + thought)
                break
        self._speech.text(delta.content)
        self._said += delta.content
        self._refusal += delta.refusal
        for piece in delta.tool_calls:
            self._add_call(piece)

    def _add_call(self, piece: _CallDelta) -> None:
        index = len(self._calls) if piece.index is None else piece.index
        call = self._calls.setdefault(index, _Call(id=piece.id or f"call_{index}"))
        call.name = call.name or piece.function.name
        call.arguments += piece.function.arguments
        call.extra = call.extra or piece.extra_content


def _tokens(usage: _Usage | None) -> Tokens | None:
    if usage is None:
        return None
    read, written = usage.prompt_tokens_details.cached_tokens, usage.prompt_tokens_details.cache_write_tokens
    fresh = max(0, usage.prompt_tokens - read - written)
    return Tokens(input=fresh, output=usage.completion_tokens, cache_read=read, cache_write=written)


def _again(call: _Call) -> dict[str, Any]:
    """The call as the provider is shown it again."""
    function = {"name": call.name, "arguments": readable(whole(call.arguments))}
    extra = {"extra_content": call.extra} if call.extra else {}
    return {"id": call.id, "type": "function", "function": function, **extra}


def _messages(message: Message) -> tuple[dict[str, Any], ...]:
    match message:
        case Turn(raw=raw):
            return raw
        case ToolAnswer(call=call, text=text):
            return ({"role": "tool", "tool_call_id": call, "content": text},)
        case _:
            return ({"role": "user", "content": message.text},)
