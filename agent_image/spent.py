"""What a variation's model calls took, by its gateway's count."""

import urllib.request
from http.client import HTTPException

import msgspec
from msgspec import Struct

from agent_image.task import Access

_LIMIT_S = 1.0
_LONGEST = 10_000
# Of nobody's proxy: the gateway is beside us.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Spent(Struct, frozen=True, kw_only=True):
    calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: float | None
    """None where a price is unknown."""


def spent(access: Access) -> Spent | None:
    """Ask the gateway, for a second at most; None if it does not tell."""
    request = urllib.request.Request(f"{access.url}/usage", headers={"Authorization": f"Bearer {access.token}"})  # noqa: S310 -- http, by who started us
    try:
        with _opener.open(request, timeout=_LIMIT_S) as answer:
            return msgspec.json.decode(answer.read(_LONGEST), type=Spent)
    except (OSError, HTTPException, msgspec.DecodeError):
        return None
