"""What a fake provider saw of its callers."""

from typing import Any

import msgspec


class Recorded(msgspec.Struct, kw_only=True):
    """A request, and what became of it."""

    path: str
    query: str
    headers: dict[str, str]
    """By lower-case name."""
    body: Any
    """Decoded."""
    began: float
    """By the monotonic clock."""
    ended: float | None = None
    """When its answer was out, or given up."""
    was_left: bool = False
    """True if the client left before the end."""

    @property
    def key(self) -> str:
        """What the caller presented as its key, in either header."""
        return self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def model(self) -> str:
        """Empty where the body names none."""
        match self.body:
            case {"model": str() as model}:
                return model
            case _:
                return ""
