"""A request of an agent to a model: what has to be known of it, and the little that is changed."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from litestar.types import Receive
from msgspec import Raw, Struct, structs

from agent_image.gateway.plan import Wire
from agent_image.gateway.refusal import RefusedError

PATHS: dict[Wire, str] = {"messages": "/v1/messages", "chat": "/v1/chat/completions", "responses": "/v1/responses"}
COUNT_PATH = "/v1/messages/count_tokens"
NOTICE = "The budget of this work is spent. This is your last call: finish what you have and submit."

_MOST_BYTES = 32 * 1024 * 1024
_TOO_LARGE = f"This request is larger than {_MOST_BYTES // 1024 // 1024} MB, the most that is relayed."
_MALFORMED = (msgspec.MsgspecError, ValueError, RecursionError)
_OTHER_MODELS = {"models", "fallbacks"}
"""Fields that name models besides the one that was asked for."""
_REFERENCES = ("previous_response_id", "conversation", "prompt")
_MOST_OUTPUT = ("max_tokens", "max_output_tokens", "max_completion_tokens")


class ModelRequest(Struct, frozen=True, kw_only=True):
    wire: Wire
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    model: str
    is_stream: bool
    """True if the answer is to be a stream."""
    hides_usage: bool = False
    """True if the caller did not ask for the usage that the provider is asked to tell."""

    refers: str = ""
    """The field by which it stands for more than is in it; empty if there is none."""
    most_output: int = 0
    """Tokens that the answer may have; 0 where it does not say."""

    @property
    def is_metered(self) -> bool:
        """False where a model only counts."""
        return self.path != COUNT_PATH


class _Body(Struct, frozen=True):
    model: str
    stream: bool | None = None
    background: bool | None = None


class _StreamOptions(Struct, frozen=True):
    include_usage: bool | None = None


class _Chat(Struct, frozen=True):
    stream_options: _StreamOptions | None = None


async def read_body(
    headers: Iterable[tuple[bytes, bytes]], receive: Receive, hold: Callable[[int], None]
) -> bytes | None:
    """Read a request's body, each piece of which `hold` is told the size of; None if the caller has left.

    Raises:
        RefusedError: it is too large; what is over is not read.

    """
    length = dict(headers).get(b"content-length", b"")
    if length.isdigit() and int(length) > _MOST_BYTES:
        raise RefusedError("llm.request_too_large", _TOO_LARGE)
    pieces: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        hold(len(pieces[-1]))
        if size > _MOST_BYTES:
            raise RefusedError("llm.request_too_large", _TOO_LARGE)
        more = message.get("more_body", False)
    return b"".join(pieces)


def read_request(
    body: bytes, *, wire: Wire, path: str, query: bytes, headers: Iterable[tuple[bytes, bytes]]
) -> ModelRequest:
    """Read what has to be known.

    Raises:
        RefusedError: it is no request for a model, or one whose cost nobody would know.

    """
    try:
        fields = msgspec.json.decode(body, type=dict[str, Raw])
        body = _unambiguous(body, fields)
        read = msgspec.json.decode(body, type=_Body)
    except _MALFORMED as error:
        raise RefusedError("llm.refused", f"This is no request in JSON that can be relayed: {error}") from error
    if read.background:
        raise RefusedError("llm.refused", "An answer in the background is not relayed; ask without `background`.")
    request = ModelRequest(
        wire=wire,
        path=path,
        query=query,
        headers=list(headers),
        body=body,
        model=read.model,
        is_stream=bool(read.stream),
        refers=next((name for name in _REFERENCES if _is_given(fields, name, wire)), ""),
        most_output=max(_count(fields.get(name)) for name in _MOST_OUTPUT),
    )
    return _with_usage(request) if wire == "chat" and read.stream else request


def with_notice(request: ModelRequest) -> ModelRequest:
    """Tell the model that this call is the last; a request that has no place for it stays as it is."""
    try:
        fields = msgspec.json.decode(request.body, type=dict[str, Raw])
        match request.wire:
            case "messages":
                told = {"messages": _messages(msgspec.json.decode(fields["messages"], type=list[Raw]))}
            case "chat":
                messages = msgspec.json.decode(fields["messages"], type=list[Raw])
                told = {"messages": [*messages, {"role": "user", "content": NOTICE}]}
            case "responses":
                told = {"input": _input(fields["input"])}
    except (KeyError, *_MALFORMED):
        return request
    return structs.replace(request, body=msgspec.json.encode({**fields, **told}))


def _unambiguous(body: bytes, fields: dict[str, Raw]) -> bytes:
    """Return a body that has each field once: of two with one name, JSON leaves open which one a provider takes."""
    for name in fields:
        folded = name.casefold()
        if (folded == "model" and name != "model") or folded in _OTHER_MODELS:
            raise RefusedError("llm.refused", f"`{name}` is not relayed; ask for one model, by `model`.")
    encoded = msgspec.json.encode(fields)
    spaced = b"{%b}" % b", ".join(b"%b: %b" % (msgspec.json.encode(name), fields[name]) for name in fields)
    return body if body in (encoded, spaced) else encoded


def _is_given(fields: dict[str, Raw], name: str, wire: Wire) -> bool:
    """Whether a field refers to something; `prompt` does so on one of the wires."""
    return bytes(fields.get(name, b"null")) != b"null" and (name != "prompt" or wire == "responses")


def _count(given: Raw | None) -> int:
    try:
        return max(0, msgspec.json.decode(given or b"0", type=int))
    except _MALFORMED:
        return 0


def _with_usage(request: ModelRequest) -> ModelRequest:
    """Have the usage told at the end of a stream of Chat Completions, which otherwise says nothing of it."""
    try:
        asked = msgspec.json.decode(request.body, type=_Chat).stream_options
        fields = msgspec.json.decode(request.body, type=dict[str, Raw])
        given = msgspec.json.decode(fields.get("stream_options", b"null"), type=dict[str, Any] | None)
    except _MALFORMED as error:
        raise RefusedError("llm.refused", f"This is no request in JSON that can be relayed: {error}") from error
    if asked and asked.include_usage:
        return request
    options: dict[str, Any] = {**(given or {}), "include_usage": True}
    body = msgspec.json.encode({**fields, "stream_options": options})
    return structs.replace(request, body=body, hides_usage=True)


def _messages(messages: list[Raw]) -> list[Any]:
    """Append a block to the last message that is the user's."""
    read = [msgspec.json.decode(message, type=dict[str, Raw]) for message in messages]
    roles = [msgspec.json.decode(message["role"], type=str) for message in read]
    block = {"type": "text", "text": NOTICE}
    if "user" not in roles:
        return [*messages, {"role": "user", "content": [block]}]
    last = len(roles) - 1 - roles[::-1].index("user")
    content = msgspec.json.decode(read[last]["content"], type=str | list[Raw])
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [*messages[:last], {**read[last], "content": [*blocks, block]}, *messages[last + 1 :]]


def _input(given: Raw) -> list[Any]:
    items = msgspec.json.decode(given, type=str | list[Raw])
    before = [{"role": "user", "content": items}] if isinstance(items, str) else items
    told = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": NOTICE}]}
    return [*before, told]
