"""HTTP on a socket that is already listened at, until it is told to stop."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from socket import AF_INET, AF_INET6, AF_UNIX, SOCK_STREAM, socket
from socket import create_server as listen_tcp

import uvicorn
from litestar import Litestar

_BACKLOG = 2048
_DRAIN_S = 2
"""Seconds for what is still answered at the end."""
_KEEP_ALIVE_S = 75
"""Longer than clients keep a connection that they do not use, so that they do not use one that is just closed."""
_ABORTED = "ASGI callable returned without completing response."


class Server(uvicorn.Server):
    """Signals are for whoever serves."""

    def __init__(self, app: Litestar) -> None:
        # Nothing of uvicorn's goes to stdout; errors go to stderr, but for the aborts that are meant.
        logger = logging.getLogger("uvicorn.error")
        logger.setLevel(logging.ERROR)
        logger.addFilter(lambda record: record.msg != _ABORTED)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_DRAIN_S,
        )
        super().__init__(config)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def listen(address: str) -> socket:
    """Listen at `HOST:PORT`; port 0 for any that is free.

    Raises:
        OSError: it cannot be had.
        ValueError: it is no address.

    """
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (port.isascii() and port.isdigit()):
        raise ValueError(f"{address!r} is not HOST:PORT")
    return listen_tcp((host, int(port)), family=AF_INET6 if ":" in host else AF_INET, backlog=_BACKLOG)


def listen_unix(path: str) -> socket:
    """Listen at a path that does not exist. Raises OSError if it cannot be had."""
    listener = socket(AF_UNIX, SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
