"""What the reference of a container image may be, by the grammar of the OCI distribution project."""

import re

MAX_NAME = 255
_MAX_LENGTH = MAX_NAME + len(":") + 128 + len("@sha256:") + 64

_DOMAIN = (
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])"
)
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_DOMAIN}(?::[0-9]+)?/)?{_PART}(?:/{_PART})*)"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
    r"(?:@sha256:[0-9a-f]{64})?"
)


class ImageRefError(ValueError):
    """An image reference that is refused; `str(error)` is for people."""

    code = "image.syntax"


def check_image(text: str) -> str:
    """Return `text`, a reference of the form `name[:tag][@sha256:digest]`, or raise `ImageRefError`."""
    match = _REFERENCE.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None or len(match["name"]) > MAX_NAME:
        raise ImageRefError(f"{text[:80]!r} is no image reference of the form name[:tag][@sha256:digest]")
    return text
