"""What a variation's model calls took, by its gateway's count."""

import urllib.request
from http.client import HTTPException

import msgspec

from agent_image.gateway.totals import Totals
from agent_image.task import Access

_LIMIT_S = 1.0
_LONGEST = 10_000
# Of nobody's proxy: the gateway is beside us.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def spent(access: Access) -> Totals | None:
    """Ask the gateway, for a second at most; None if it does not tell."""
    request = urllib.request.Request(f"{access.url}/usage", headers={"Authorization": f"Bearer {access.token}"})  # noqa: S310 -- http, by who started us
    try:
        with _opener.open(request, timeout=_LIMIT_S) as answer:
            return msgspec.json.decode(answer.read(_LONGEST), type=Totals)
    except (OSError, HTTPException, msgspec.DecodeError):
        return None
