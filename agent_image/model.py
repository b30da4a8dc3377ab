"""What an agent asks: the conversation it shows, and the turns it gets. Adapters of providers live beside this file."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from agent_image.speech import Speech


class ModelError(Exception):
    """The model cannot go on; the message says why, for people. The agent gives up."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code
        """The same for programs: one of `llm.*`, or empty."""


class BrokenTurnError(ModelError):
    """The model began to answer and did not come to its end; asked again, it may."""


class ToolCall(msgspec.Struct, frozen=True):
    """A model asks for a tool."""

    id: str
    """As the model names it; unique within the conversation."""
    tool: str
    arguments: str
    """JSON, as the model wrote it: it may be anything."""


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What one call of a model took."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cost_usd: float | None = None


class Told(msgspec.Struct, frozen=True, tag="told"):
    """What the user, or the loop in the user's place, tells the model."""

    text: str


class Turn(msgspec.Struct, frozen=True, tag="turn"):
    """What the model answered: text, calls that may be many at once, or both."""

    said: str = ""
    calls: tuple[ToolCall, ...] = ()
    tokens: Tokens | None = None
    is_cut_off: bool = False
    """True if the answer reached its longest before it was whole; then its calls are not to be made."""
    raw: tuple[dict[str, Any], ...] = ()
    """The turn as its provider wants to be shown it again; for the adapter that made it alone."""


class ToolAnswer(msgspec.Struct, frozen=True, kw_only=True, tag="answer"):
    """What a tool answered to one call."""

    call: str
    ok: bool
    text: str
    submits: bool = False
    """True if the work is done, and the model is not asked again."""


Message = Told | Turn | ToolAnswer
Conversation = Sequence[Message]
"""From the first message on; the answers to a turn's calls follow it, in the order of the calls."""


class Model(Protocol):
    async def ask(self, conversation: Conversation, speech: Speech) -> Turn:
        """Return the next turn of a conversation whose turns are all its own.

        `speech` is told the text as it arrives, in one piece or many, which together are the turn's `said`, and what
        the model thinks besides.

        Raises:
            BrokenTurnError: this one broke off; asked again, it may come whole.
            ModelError: there will be no next turn.

        """
        ...
