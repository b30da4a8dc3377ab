"""HTTP on 127.0.0.1, from the first request to an orderly end."""

import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import anyio
import uvicorn
from litestar import Litestar
from uvicorn.lifespan.on import LifespanOn

from service.errors import ServeError

_STARTED_S = 30
_DRAIN_S = 2
"""Seconds for requests in flight at the end; streams are ended by then."""


@asynccontextmanager
async def serving(app: Litestar, port: int) -> AsyncGenerator[str]:
    """Serve `app` and yield its URL. At the end streams are closed, requests finished, and the runs in flight ended.

    Raises:
        ServeError: the port is taken, the application does not start, or it crashes.

    """
    server = _Server(
        uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=_DRAIN_S, ws="none")
    )
    with _listen(port) as listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_serve, server, listener)
            try:
                await _started(server)
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                app.state["log"].close()
                server.should_exit = True


class _Server(uvicorn.Server):
    """Signals are for whoever serves, who has more to end than this. Serves no longer than the application lives."""

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self.has_crashed

    @property
    def has_crashed(self) -> bool:
        lifespan = getattr(self, "lifespan", None)  # not there until it serves
        return isinstance(lifespan, LifespanOn) and (lifespan.error_occurred or lifespan.shutdown_failed)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def _serve(server: _Server, listener: socket.socket) -> None:
    # Cancelled, it would leave the application's lifespan behind, with the runs in flight; it ends when it is told to.
    with anyio.CancelScope(shield=True):
        await server.serve([listener])
    if server.has_crashed:
        raise ServeError("the service has crashed; the log has the reason")


@contextmanager
def _listen(port: int) -> Generator[socket.socket]:
    try:
        listener = socket.create_server(("127.0.0.1", port), backlog=2048)
    except OSError as error:
        raise ServeError(f"port {port} cannot be had: {error.strerror}; choose another with --port or PORT") from error
    with listener:
        yield listener


async def _started(server: _Server) -> None:
    with anyio.fail_after(_STARTED_S):
        while not server.started:
            if server.should_exit or server.has_crashed:
                raise ServeError("the application did not start; the log has the reason")
            await anyio.sleep(0.01)
