"""What an agent asks: the conversation it shows, and the turns it gets. Adapters of providers live beside this file."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec


class ModelError(Exception):
    """The model cannot go on; the message says why, for people. The agent gives up."""


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
    async def ask(self, conversation: Conversation, say: Callable[[str], None]) -> Turn:
        """Return the next turn.

        `say` is called with the text as it arrives, in one piece or many, that people see at once; together they are
        the turn's `said`.

        Raises:
            ModelError: there will be no next turn.

        """
        ...
