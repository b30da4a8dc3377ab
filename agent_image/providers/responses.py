"""OpenAI's Responses, asked so that the provider stores nothing: every call carries the whole conversation."""

from typing import Any

import httpx2
import msgspec
from msgspec import Struct
from openai import APIError, AsyncOpenAI

from agent_image.model import Conversation, Message, Tokens, ToolAnswer, ToolCall, Turn
from agent_image.providers.connection import broken_error, failures, refusal_error, truncated_error
from agent_image.providers.settings import Settings
from agent_image.providers.wire import SdkEvent, read, readable, whole
from agent_image.speech import Speech

_THOUGHTS = "reasoning.encrypted_content"


class _Details(Struct, frozen=True):
    cached_tokens: int = 0
    cache_write_tokens: int = 0


class _Usage(Struct, frozen=True):
    input_tokens: int = 0
    """All of them, those in the details too."""
    output_tokens: int = 0
    input_tokens_details: _Details = _Details()


class _Incomplete(Struct, frozen=True):
    reason: str = ""


class _Response(Struct, frozen=True):
    usage: _Usage | None = None
    incomplete_details: _Incomplete = _Incomplete()
    error: dict[str, Any] = {}


class _Part(Struct, frozen=True):
    text: str = ""
    refusal: str = ""


class _Item(Struct, frozen=True):
    """A piece of an answer."""

    type: str = ""
    phase: str = ""
    content: tuple[_Part, ...] = ()
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    summary: tuple[dict[str, Any], ...] = ()
    encrypted_content: str = ""


class _Delta(Struct, frozen=True):
    delta: str = ""


class _ItemDone(Struct, frozen=True):
    item: _Item


class _End(Struct, frozen=True):
    response: _Response


class _Error(Struct, frozen=True):
    message: str = ""
    code: str = ""


class ResponsesModel:
    def __init__(self, settings: Settings, http: httpx2.AsyncClient) -> None:
        access = settings.access
        url = f"{access.url}/v1"
        self._client = AsyncOpenAI(base_url=url, api_key=access.token, http_client=http, max_retries=0)
        self._same: dict[str, Any] = {
            "model": settings.model,
            "instructions": settings.instructions,
            "tools": [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                    "strict": False,  # or every argument would have to be given
                }
                for tool in settings.tools
            ],
            "store": False,
            "prompt_cache_key": settings.conversation,
        }
        if settings.temperature is not None:
            self._same["temperature"] = settings.temperature

    async def ask(self, conversation: Conversation, speech: Speech) -> Turn:
        answer = _Answer(speech)
        items = [item for message in conversation for item in _items(message)]
        asked = dict(self._same)
        if any(map(_is_thought, items)):  # one that never thinks may refuse to be asked for its thoughts
            asked["include"] = [_THOUGHTS]
        asked["input"] = [item for item in items if not _is_thought(item) or "encrypted_content" in item]
        with failures(APIError):
            async with await self._client.responses.create(**asked, stream=True) as events:
                async for event in events:
                    answer.take(event.type, event)
        return answer.turn()


class _Answer:
    """An answer while it comes."""

    def __init__(self, speech: Speech) -> None:
        self._speech = speech
        self._items: list[_Item] = []
        self._end: _Response | None = None

    def take(self, kind: str, event: SdkEvent) -> None:
        match kind:
            case "response.output_text.delta":
                self._speech.text(read(event, _Delta).delta)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                self._speech.thought(read(event, _Delta).delta)
            case "response.reasoning_summary_text.done":
                self._speech.thought("\n\n")
            case "response.output_item.done":
                self._items.append(read(event, _ItemDone).item)
            case "response.completed" | "response.incomplete":
                self._end = read(event, _End).response
            case "response.failed":
                raise broken_error(read(event, _End).response.error)
            case "error":
                raise broken_error(msgspec.to_builtins(read(event, _Error)))
            case _:
                pass

    def turn(self) -> Turn:
        if self._end is None:
            raise truncated_error()
        why = self._end.incomplete_details.reason
        parts = [part for item in self._items if item.type == "message" for part in item.content]
        refusal = "".join(part.refusal for part in parts)
        if refusal or why == "content_filter":
            raise refusal_error(refusal)
        calls = [item for item in self._items if item.type == "function_call"]
        return Turn(
            whole("".join(part.text for part in parts)),
            tuple(ToolCall(call.call_id, call.name, whole(call.arguments) or "{}") for call in calls),
            _tokens(self._end.usage),
            is_cut_off=bool(why),
            raw=tuple(again for item in self._items if (again := _again(item))),
        )


def _tokens(usage: _Usage | None) -> Tokens | None:
    if usage is None:
        return None
    read, written = usage.input_tokens_details.cached_tokens, usage.input_tokens_details.cache_write_tokens
    fresh = max(0, usage.input_tokens - read - written)
    return Tokens(input=fresh, output=usage.output_tokens, cache_read=read, cache_write=written)


def _again(item: _Item) -> dict[str, Any]:
    """The item as the provider is shown it again: without its id, by which it would look for what it did not store."""
    match item.type:
        case "message" if text := whole("".join(part.text for part in item.content)):
            phase = {"phase": item.phase} if item.phase else {}
            return {"role": "assistant", "content": text, **phase}
        case "function_call":
            arguments = readable(whole(item.arguments))
            return {"type": item.type, "call_id": item.call_id, "name": item.name, "arguments": arguments}
        case "reasoning":
            thought = {"encrypted_content": item.encrypted_content} if item.encrypted_content else {}
            return {"type": item.type, "summary": list(item.summary), **thought}
        case _:
            return {}


def _is_thought(item: dict[str, Any]) -> bool:
    return item.get("type") == "reasoning"


def _items(message: Message) -> tuple[dict[str, Any], ...]:
    match message:
        case Turn(raw=raw):
            return raw
        case ToolAnswer(call=call, text=text):
            return ({"type": "function_call_output", "call_id": call, "output": text},)
        case _:
            return ({"role": "user", "content": message.text},)
