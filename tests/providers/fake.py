"""A fake provider of models: a real server on 127.0.0.1 with three wire formats, scripted; it fails on request.

with fake_provider([Turn(calls=[shell("make test")]), Turn(calls=[submit()])]) as fake:
    fake.fail_next(refused(529), times=2)
    client = anthropic.Anthropic(base_url=fake.url, api_key=fake.key)
"""

import socket
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.providers.app import make_app
from tests.providers.desk import Desk
from tests.providers.faults import Fault
from tests.providers.recorded import Recorded
from tests.providers.script import DONE, TOKENS, Script, Tokens
from tests.providers.server import Server

_LIMIT_S = 30.0


@contextmanager
def fake_provider(
    script: Script = DONE,
    *,
    key: str = "fake-key",
    tokens: Tokens = TOKENS,
    models: Sequence[str] = ("fake-model",),
) -> Generator["FakeProvider"]:
    """Serve a script; an empty key lets anybody in. `models` are those that are listed: any is answered for."""
    with start_blocking_portal() as portal:
        fake = FakeProvider(portal, portal.call(Desk, script, key, tokens, models))
        try:
            fake.start()
            yield fake
        finally:
            fake.stop()


class FakeProvider:
    """For tests, which may be synchronous or not: the server has a thread of its own."""

    def __init__(self, portal: BlockingPortal, desk: Desk) -> None:
        self._portal = portal
        self._desk = desk
        self._server: Server | None = None
        self._serving: Future[None] | None = None
        self.port = 0
        self.key = desk.key

    @property
    def url(self) -> str:
        """Without `/v1`, which Anthropic's SDK appends itself, and OpenAI's does not."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> Sequence[Recorded]:
        """All so far, in the order in which they came."""
        return tuple(self._desk.requests)

    @property
    def keys(self) -> Sequence[str]:
        """What callers presented as their keys, in that order."""
        return [recorded.key for recorded in self.requests]

    @property
    def open(self) -> int:
        """How many requests are being answered."""
        return self._desk.open

    @property
    def most_open(self) -> int:
        """The most that were being answered at once."""
        return self._desk.most_open

    @property
    def left(self) -> int:
        """How many answers were not waited for by their clients."""
        return sum(recorded.was_left for recorded in self.requests)

    def say(self, script: Script) -> None:
        """Play another script from now on."""
        self._desk.script = script

    def fail_next(self, fault: Fault, *, times: int | None = 1, model: str = "") -> None:
        """Answer the next so many requests badly, for one model or any; None: all, until `heal()`."""
        self._portal.call(self._desk.faults.add, fault, times, model)

    def heal(self) -> None:
        """Forget the faults that have not happened."""
        self._portal.call(self._desk.faults.clear)

    def release(self) -> None:
        """Go on with all answers that are silent now."""
        self._portal.call(self._desk.release)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for something about this fake.

        Raises:
            TimeoutError: it has not come to that for long.

        """
        with anyio.fail_after(_LIMIT_S):
            while not is_so():  # noqa: ASYNC110 - what it is about is in another thread
                await anyio.sleep(0.005)

    def start(self) -> None:
        """Serve, at the same port if it did before."""
        listening = socket.create_server(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        self._server = Server(make_app(self._desk))
        self._desk.hang_up = self._server.hang_up
        self._serving = self._portal.start_task_soon(self._server.serve, [listening])

    def stop(self) -> None:
        """Cut all connections and refuse new ones; nothing if it is stopped."""
        if self._server and self._serving:
            self._portal.call(self._server.stop)
            self._serving.result()
        self._server = self._serving = None
