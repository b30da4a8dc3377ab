"""What a model call took, read from its answer: the provider's own figures, in each of the three wire formats."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Raw, Struct, structs

from agent_image.gateway.plan import Wire
from agent_image.gateway.prices import Tokens
from agent_image.gateway.request import ModelRequest
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
_TOO_MANY = 1e12
"""Tokens, that is: more than any call takes."""
_NOTHING = Raw(b"null")
_LAST = ("message_stop", "response.completed", "response.incomplete", "response.failed", "error")

T = TypeVar("T")


class _Part(Struct, frozen=True):
    usage: Raw = _NOTHING


class _Report(Struct, frozen=True):
    """An answer, or an event of one. What is odd in one part of it spoils no other."""

    type: Any = ""
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
        self.tokens: Tokens | None = None
        """None until the provider has told."""
        self.has_ended = False
        """True once the stream's last event has come."""
        self.failure = ""
        """What the provider said where its answer is an error."""

    def charge(self, request: ModelRequest, *, size: int, was_left: bool) -> Tokens:
        """What is to count against a budget: where the provider has not told all, the most that it may have been.

        `size` is how many bytes of the answer came, and `was_left` is true if nobody waited for its end. Else an agent
        that leaves before the end, where the figures are, would work for nothing.
        """
        if self.has_ended and self.tokens and not self.failure:
            return self.tokens
        known = self.tokens or Tokens()
        given = known.input if known.prompt else len(request.body) // _BYTES_A_TOKEN
        most = request.most_output if was_left and not self.has_ended else 0
        return structs.replace(known, input=given, output=max(known.output, size // _BYTES_A_TOKEN, most))

    def read(self, block: bytes) -> bytes:
        """Read a block of whole events, and return what of it the caller is to see."""
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
        if report.type in ("error", "response.failed") or report.error != _NOTHING:
            self.failure = data[:_LONGEST_REASON].decode(errors="replace")
        parts = (_decoded(part, _Part) for part in (report.response, report.message))
        for told in (report.usage, *(part.usage for part in parts if part)):
            if usage := _decoded(told, dict[str, Any]):
                self.tokens = _most(self.tokens or Tokens(), _tokens(usage))


def _decoded(data: bytes | Raw, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(data, type=kind, strict=False)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _tokens(usage: Mapping[str, Any]) -> Tokens:
    """Read what any of the wire formats says; Chat Completions has the names with `prompt` and `completion`."""
    details = usage.get("input_tokens_details") or usage.get("prompt_tokens_details")
    detail = cast("dict[str, Any]", details) if isinstance(details, dict) else {}
    # OpenAI's input includes what a cache had or got, Anthropic's does not.
    read, written = _count(detail.get("cached_tokens")), _count(detail.get("cache_write_tokens"))
    given = _count(usage.get("input_tokens")) or _count(usage.get("prompt_tokens"))
    return Tokens(
        input=max(0, given - read - written),
        output=_count(usage.get("output_tokens")) or _count(usage.get("completion_tokens")),
        cache_read=read or _count(usage.get("cache_read_input_tokens")),
        cache_write=written or _count(usage.get("cache_creation_input_tokens")),
    )


def _count(told: object) -> int:
    """Return a figure; 0 for what is none."""
    return int(told) if isinstance(told, int | float) and 0 <= told < _TOO_MANY else 0


def _most(one: Tokens, other: Tokens) -> Tokens:
    """The figures of a stream grow; a later one that is missing takes nothing back."""
    return Tokens(
        input=max(one.input, other.input),
        output=max(one.output, other.output),
        cache_read=max(one.cache_read, other.cache_read),
        cache_write=max(one.cache_write, other.cache_write),
    )
