"""What the wire formats have in common: JSON that is read leniently, and written so that anybody can read it."""

from typing import Any, Protocol, TypeVar

import msgspec

T = TypeVar("T")


class SdkEvent(Protocol):
    """What the SDKs make of an event: a class of their own, whose fields are there only if they were sent."""

    def to_dict(self, *, exclude_none: bool, warnings: bool) -> dict[str, object]: ...


def read(event: SdkEvent, kind: type[T]) -> T:
    """Return what `kind` names of an event; what is null is as good as left out.

    Raises:
        msgspec.ValidationError: a field is not what the wire format says.

    """
    return msgspec.convert(event.to_dict(exclude_none=True, warnings=False), kind)


def readable(arguments: str) -> str:
    """Return a call's arguments as providers take them back: JSON of an object, an empty one if they were none."""
    try:
        msgspec.json.decode(arguments, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return "{}"
    return arguments


def whole(text: str) -> str:
    """Join the halves of characters that came in two pieces; one alone, which no UTF-8 has, becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
