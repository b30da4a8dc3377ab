"""What a text of a request may be that ends in a command line and in a column of text."""

from service.errors import InvalidError

_MOST_BYTES = 100_000
"""Linux gives a program no argument, and no variable, of more than 128 KiB."""


def check_text(field: str, text: str, *, empty: bool = False) -> str:
    """Return `text`, or raise `InvalidError`; `empty` takes one that has nothing in it."""
    if "\0" in text:
        raise InvalidError("request.invalid", field, "a NUL character cannot be passed on")
    if not empty and not text.strip():
        raise InvalidError("request.invalid", field, "there is nothing in it")
    if len(text.encode()) > _MOST_BYTES:
        raise InvalidError("request.invalid", field, f"more than {_MOST_BYTES} bytes, as UTF-8")
    return text
