"""Who a request says it is for.

Without authentication, that the service listens on the loopback alone is all that protects it. A web page elsewhere can
have its own name resolve to 127.0.0.1, and would then be let in by a browser as if it were ours: but its requests say
its name.
"""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from service.errors import ForbiddenError

_OURS = frozenset({"127.0.0.1", "localhost", "::1"})


def this_machine(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Refuse a request for a host of another name. Raises `ForbiddenError`."""
    if connection.url.hostname not in _OURS:
        raise ForbiddenError("host.unknown", "this service answers to 127.0.0.1 and localhost alone")
