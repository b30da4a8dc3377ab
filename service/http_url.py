"""URLs of HTTP servers that settings and requests name."""

import re
from urllib.parse import urlsplit

_CHARACTERS = re.compile(r"[!-~]+")


def check_http_url(text: str) -> str:
    """Return `text`, or raise `ValueError`, which does not repeat it: there may be a password in it."""
    try:
        url = urlsplit(text)
        whole = url.scheme in {"http", "https"} and url.hostname and url.port != 0 and _CHARACTERS.fullmatch(text)
    except ValueError:
        raise ValueError(_EXPECTED) from None
    if not whole:
        raise ValueError(_EXPECTED)
    if "@" in url.netloc:
        raise ValueError("no user and no password can be in it")
    return text


_EXPECTED = "it should be http://host or https://host, with a path perhaps"
