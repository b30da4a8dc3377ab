"""The fake's server: uvicorn, which stops at once, whatever its clients are waiting for."""

import asyncio
import socket

import uvicorn
from litestar import Litestar
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_KEEP_ALIVE_S = 3600
"""A connection that is closed for being idle just when it is used again would be a fault that nobody asked for."""


class Server(uvicorn.Server):
    """Serves until `stop`."""

    def __init__(self, app: Litestar) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            http="httptools",
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        super().__init__(config)
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    def hang_up(self, client: tuple[str, int] | None) -> None:
        """Close a client's connection once what was sent is out, though the answer is not whole."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, HttpToolsProtocol) and connection.client == client:
                connection.transport.close()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self._stopped.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for each in sockets or ():
            each.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks)
