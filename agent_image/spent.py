"""What a variation's model calls took, by its gateway's count."""

import urllib.request
from http.client import HTTPConnection, HTTPException
from socket import AF_UNIX, socket

import msgspec

from agent_image.forward import UNIX, is_forwarded
from agent_image.gateway.totals import Totals
from agent_image.task import Access

_LIMIT_S = 1.0
_LONGEST = 10_000
_OK = 200
# Of nobody's proxy: the gateway is beside us.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def spent(access: Access) -> Totals | None:
    """Ask the gateway, for a second at most; None if it does not tell."""
    headers = {"Authorization": f"Bearer {access.token}"}
    try:
        answer = _by_socket(access, headers) if is_forwarded(access) else _by_url(access, headers)
        return msgspec.json.decode(answer, type=Totals)
    except (OSError, HTTPException, msgspec.DecodeError):
        return None


def _by_url(access: Access, headers: dict[str, str]) -> bytes:
    request = urllib.request.Request(f"{access.url}/usage", headers=headers)  # noqa: S310 -- http, by who started us
    with _opener.open(request, timeout=_LIMIT_S) as answer:
        return answer.read(_LONGEST)


def _by_socket(access: Access, headers: dict[str, str]) -> bytes:
    with socket(AF_UNIX) as way:
        way.settimeout(_LIMIT_S)
        way.connect(access.url.removeprefix(UNIX))
        connection = HTTPConnection("gateway")
        connection.sock = way
        connection.request("GET", "/usage", headers=headers)
        answer = connection.getresponse()
        return answer.read(_LONGEST) if answer.status == _OK else b""
