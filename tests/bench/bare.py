"""The engine with nothing of ours on it: a session, execs side by side from an image that it has, their log."""

import time
from collections.abc import Mapping
from contextlib import aclosing
from uuid import uuid4

import anyio
import dagger
from anyio.abc import TaskStatus
from msgspec import Struct

from service.engine.dagger.session import Session, open_session
from tests.bench.commands import IMAGE
from tests.bench.engine_log import follow_stdout
from tests.bench.limit import limit

_LINES_S = 10.0


class Printed(Struct, frozen=True):
    """A line of an exec; `at` by the monotonic clock, `wall` by the wall's, both at its receipt."""

    text: str
    at: float
    wall: float


class BareRun(Struct, frozen=True, kw_only=True):
    begun: float
    ended: float
    """With the session closed, as a run has ended only when nothing of it is left."""
    lines: list[Printed]

    @property
    def seconds(self) -> float:
        return self.ended - self.begun


async def run_bare(environ: Mapping[str, str], command: list[str], *, execs: int, lines: int) -> BareRun:
    """Run `command` in containers side by side, until they have ended and their lines, all together, are here.

    Raises:
        EngineLostError: no engine answers.
        BenchError: lines are missing ten seconds after the last exec's end.

    """
    begun = time.monotonic()
    log = _Log(lines)
    async with open_session(environ) as session, anyio.create_task_group() as reading:
        await reading.start(log.read, session)
        async with anyio.create_task_group() as running:
            for _ in range(execs):
                running.start_soon(_run, session.client, command)
        with limit(_LINES_S, "waiting for the bare engine's last line"):
            await log.complete.wait()
        reading.cancel_scope.cancel()
    return BareRun(begun=begun, ended=time.monotonic(), lines=log.lines)


async def engine_version(environ: Mapping[str, str]) -> str:
    async with open_session(environ) as session:
        return await session.client.version()


async def _run(client: dagger.Client, command: list[str]) -> None:
    # What is unlike any earlier exec is not answered from the cache.
    unlike = client.container().from_(IMAGE).with_env_variable("BENCH", uuid4().hex)
    await unlike.with_exec(command).exit_code()


class _Log:
    def __init__(self, expected: int) -> None:
        self.lines: list[Printed] = []
        self.complete = anyio.Event()
        self._expected = expected
        self._rests: dict[str, str] = {}

    async def read(self, session: Session, *, task_status: TaskStatus[None]) -> None:
        task_status.started()
        async with aclosing(follow_stdout(session.port, session.token)) as pieces:
            async for trace, text in pieces:
                self._take(trace, text)

    def _take(self, trace: str, text: str) -> None:
        at, wall = time.monotonic(), time.time()
        *whole, self._rests[trace] = (self._rests.get(trace, "") + text).split("\n")
        self.lines += [Printed(line, at, wall) for line in whole]
        if len(self.lines) >= self._expected:
            self.complete.set()
