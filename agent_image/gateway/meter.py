"""What a model call took, read from its answer: the provider's own figures, in each of the three wire formats."""

import re
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct, structs

from agent_image.gateway.plan import Wire
from agent_image.gateway.prices import Tokens
from agent_image.gateway.sse import ServerEvent, events

_DONE = b"[DONE]"
_LONGEST_REASON = 500
_BYTES_A_TOKEN = 4
"""Of a request, roughly."""
# Only events that have one of these are looked into: most are a few words of text, and cost a search alone.
_TELLING = {
    "messages": re.compile(rb"message_|error"),
    "chat": re.compile(rb'"usage"\s*:\s*\{|\[DONE\]|"error"'),
    "responses": re.compile(rb"response\.(?:completed|incomplete|failed)|error"),
}
_NOTHING = Raw(b"null")
_LAST = {"message_stop", "response.completed", "response.incomplete", "response.failed", "error"}

T = TypeVar("T")


class _Details(Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Usage(Struct, frozen=True):
    """What any of the wire formats says; Chat Completions has the names with `prompt` and `completion`."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens_details: _Details | None = None
    prompt_tokens_details: _Details | None = None

    @property
    def tokens(self) -> Tokens:
        details = self.input_tokens_details or self.prompt_tokens_details or _Details()
        # OpenAI's input includes what a cache had or got, Anthropic's does not.
        read, written = details.cached_tokens or 0, details.cache_write_tokens or 0
        given = self.input_tokens or self.prompt_tokens or 0
        return Tokens(
            input=max(0, given - read - written),
            output=max(0, self.output_tokens or self.completion_tokens or 0),
            cache_read=max(0, read or self.cache_read_input_tokens or 0),
            cache_write=max(0, written or self.cache_creation_input_tokens or 0),
        )


class _Part(Struct, frozen=True):
    usage: _Usage | None = None


class _Report(Struct, frozen=True):
    """An answer, or an event of one. What is odd in one part of it spoils no other."""

    type: str = ""
    usage: Raw = _NOTHING
    message: Raw = _NOTHING
    response: Raw = _NOTHING
    error: Raw = _NOTHING
    choices: Raw = _NOTHING


class Meter:
    """Reads along as one answer goes by."""

    def __init__(self, wire: Wire, *, hides_usage: bool = False) -> None:
        self._telling = _TELLING[wire]
        self._hides_usage = hides_usage
        self._events = 0
        self.tokens: Tokens | None = None
        """None until the provider has told."""
        self.has_ended = False
        """True once the stream's last event has come."""
        self.failure = ""
        """What the provider said where its answer is an error."""

    def charge(self, request: bytes) -> Tokens:
        """What is to count against a budget: where the provider has not told, or not yet, a guess by sizes.

        Else an agent that leaves before the end, where the figures are, would work for nothing.
        """
        if self.has_ended and self.tokens:
            return self.tokens
        known = self.tokens or Tokens(input=len(request) // _BYTES_A_TOKEN)
        return structs.replace(known, output=max(known.output, self._events))

    def read(self, block: bytes) -> bytes:
        """Read a block of whole events, and return what of it the caller is to see."""
        self._events += block.count(b"data:")
        if not self._telling.search(block):
            return block
        return b"".join(event.raw for event in events(block) if not self._is_hidden(event))

    def read_whole(self, body: bytes) -> None:
        """Read an answer that is no stream; it has ended if it is JSON to its end."""
        if report := _decoded(body, _Report):
            self.has_ended = True
            self._add(report, body)

    def _is_hidden(self, event: ServerEvent) -> bool:
        if event.data == _DONE:
            self.has_ended = True
        report = _decoded(event.data, _Report)
        if report is None:
            return False
        self._add(report, event.data)
        self.has_ended = self.has_ended or bool(self.failure) or report.type in _LAST
        return self._hides_usage and report.usage != _NOTHING and _decoded(report.choices, list[Raw]) == []

    def _add(self, report: _Report, data: bytes) -> None:
        if report.type in {"error", "response.failed"} or report.error != _NOTHING:
            self.failure = data[:_LONGEST_REASON].decode(errors="replace")
        parts = (_decoded(part, _Part) for part in (report.response, report.message))
        for usage in (_decoded(report.usage, _Usage), *(part and part.usage for part in parts)):
            if usage:
                self.tokens = _most(self.tokens or Tokens(), usage.tokens)


def _decoded(data: bytes | Raw, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(data, type=kind, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _most(one: Tokens, other: Tokens) -> Tokens:
    """The figures of a stream grow; a later one that is missing takes nothing back."""
    return Tokens(
        input=max(one.input, other.input),
        output=max(one.output, other.output),
        cache_read=max(one.cache_read, other.cache_read),
        cache_write=max(one.cache_write, other.cache_write),
    )
