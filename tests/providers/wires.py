"""The three wire formats; each is a module of its own."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import msgspec

from tests.providers import chat, messages, responses
from tests.providers.script import Answer, Conversation


class Wire(Protocol):
    """What a wire format's module has."""

    def read(self, body: Mapping[str, Any], /) -> Conversation: ...
    def whole(self, answer: Answer, /) -> dict[str, Any]: ...
    def events(self, answer: Answer, conversation: Conversation, /) -> Iterator[bytes]: ...
    def error_body(self, status: int, error: str, message: str, /) -> dict[str, Any]: ...
    def error_event(self, answer: Answer, error: str, message: str, /) -> bytes: ...


WIRES: Mapping[str, Wire] = {"/v1/messages": messages, "/v1/chat/completions": chat, "/v1/responses": responses}
"""By path."""


def frames(wire: Wire, answer: Answer, conversation: Conversation) -> Iterator[bytes]:
    """Return an answer's events, or the whole of it as one where the caller wants no stream."""
    return wire.events(answer, conversation) if conversation.stream else iter([msgspec.json.encode(wire.whole(answer))])
