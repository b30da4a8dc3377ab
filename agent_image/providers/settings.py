"""What all calls of one agent's model have in common."""

from collections.abc import Sequence

import msgspec

from agent_image.task import Access
from agent_image.tools import Tool


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    access: Access
    model: str
    """As its provider knows it."""
    instructions: str
    """What it is told before the conversation."""
    tools: Sequence[Tool]
    temperature: float | None = None
    """None: the provider's own; some models take no other."""
    conversation: str = ""
    """Names this conversation, so that a provider may send its calls where its cache is."""
