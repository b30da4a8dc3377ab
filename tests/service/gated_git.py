"""A git server that lets the first who asks for objects wait, for as long as a test likes."""

import threading
from pathlib import Path

import anyio

from tests.git_over_http import Request, Served, repositories
from tests.service.local_cache import LIMIT_S


class Gate:
    """An answer of a server's; with `fails`, the one that waited gets none."""

    def __init__(self, folder: Path) -> None:
        self._answer = repositories(folder)
        self.open = threading.Event()
        self.served = Served("http", 0)
        self.fails = False

    def __call__(self, request: Request) -> None:
        if request.command == "POST" and b"git-upload-pack" in request.path.encode() and self.objects_asked == 1:
            self.open.wait(LIMIT_S)
            if self.fails:
                self.fails = False
                request.reply(500, {})
                return
        self._answer(request)

    @property
    def connections(self) -> int:
        """Each fetch begins with asking for this."""
        return sum("info/refs" in path for path in self.served.asked)

    @property
    def objects_asked(self) -> int:
        return sum("info/refs" not in path for path in self.served.asked)

    async def wait_until_asked(self) -> None:
        with anyio.fail_after(LIMIT_S):
            while not self.objects_asked:  # noqa: ASYNC110 -- the server is in another thread
                await anyio.sleep(0.01)
