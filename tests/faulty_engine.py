"""An engine that misbehaves when a test asks it to, around one that does not.

What it does to a run is real: an engine that is lost takes with it whatever runs in its sandboxes.
"""

import os
import signal
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from service.engine import Capabilities, Ended, Engine, Health, Line, Prepared, Producer, Sandbox, SandboxSpec, Serving
from service.engine import Task as AgentTask
from service.errors import EngineError, EngineLostError
from tests.processes import descendants_that_say

T = TypeVar("T")


class FaultyEngine:
    """Its sandboxes are of `kind`, around those of `engine`."""

    def __init__(self, engine: Engine, kind: "type[FaultySandbox] | None" = None) -> None:
        self._engine = engine
        self._kind = kind or FaultySandbox
        self._sandboxes: set[FaultySandbox] = set()
        self.down = False
        """True: does not answer, and opens nothing."""
        self.drop_lines: set[int] = set()
        """Which lines of each producer, counted from 1, are missing in the live output."""

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    async def health(self) -> Health:
        return Health(ok=False, detail="it is down") if self.down else await self._engine.health()

    async def lose(self) -> None:
        """Die, as an engine does, with everything that runs on it; what is opened after that works again."""
        for sandbox in set(self._sandboxes):
            await sandbox.lose()

    def kill_gateways(self) -> None:
        """End the gateways of all runs, though nobody asked."""
        for process in descendants_that_say("agent_image.gateway"):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    @asynccontextmanager
    async def open(self, spec: SandboxSpec) -> AsyncGenerator["FaultySandbox"]:
        if self.down:
            raise EngineLostError("it is down")
        failure: EngineError | None = None
        async with self._engine.open(spec) as inner, anyio.create_task_group() as tasks:
            sandbox = self._kind(inner, tasks, self.drop_lines)
            self._sandboxes.add(sandbox)
            try:
                yield sandbox
            except EngineError as error:  # the task group would wrap it
                failure = error
            finally:
                self._sandboxes.remove(sandbox)
                await sandbox.stop()
        if failure is not None:
            raise failure


class FaultySandbox:
    """Iterates the real sandbox in tasks of its own, so that it can break off whatever goes on."""

    def __init__(self, inner: Sandbox, tasks: TaskGroup, drop_lines: set[int]) -> None:
        self._inner = inner
        self._tasks = tasks
        self._drop_lines = drop_lines
        self._pumps: set[_Pump[Any]] = set()
        self._is_lost = False

    def relay(self) -> AsyncGenerator[Line | Serving]:
        return self._pumped(_Pump[Line | Serving](self._inner.relay()))

    async def end_relay(self) -> None:
        if not self._is_lost:
            await self._inner.end_relay()

    def prepare(self) -> AsyncGenerator[Line | Prepared]:
        return self._pumped(_Pump[Line | Prepared](self._inner.prepare()))

    def vary(self, index: int, task: AgentTask) -> AsyncGenerator[Line | Ended]:
        return self._pumped(_Pump[Line | Ended](self._inner.vary(index, task)))

    async def end_agents(self) -> None:
        await self._inner.end_agents()

    async def final_output(self, producer: Producer) -> list[bytes]:
        self._check()
        return await self._inner.final_output(producer)

    async def patch(self, index: int) -> bytes:
        self._check()
        return await self._inner.patch(index)

    async def lose(self) -> None:
        self._is_lost = True
        await self.stop()

    async def stop(self) -> None:
        """End whatever goes on, and return when it has ended."""
        for pump in set(self._pumps):
            await pump.stop()

    def _check(self) -> None:
        if self._is_lost:
            raise EngineLostError("it is lost")

    async def _pumped(self, pump: "_Pump[Line | T]") -> AsyncGenerator[Line | T]:
        self._check()
        self._pumps.add(pump)
        self._tasks.start_soon(pump.run)
        lines = 0
        try:
            async for item in pump.items:
                lines += isinstance(item, Line)
                if not isinstance(item, Line) or lines not in self._drop_lines:
                    yield item
        finally:
            await pump.stop()
            pump.items.close()
            self._pumps.discard(pump)
        self._check()
        if pump.failure is not None:
            raise pump.failure


class _Pump(Generic[T]):
    """A generator, iterated in a task that nobody but `stop` cancels."""

    def __init__(self, source: AsyncGenerator[T]) -> None:
        self._source = source
        self._scope = anyio.CancelScope(shield=True)
        self._ended = anyio.Event()
        self._out, self.items = anyio.create_memory_object_stream[T]()
        self.failure: EngineError | None = None

    async def run(self) -> None:
        try:
            async with self._out:
                with self._scope:
                    async with aclosing(self._source) as items:
                        async for item in items:
                            await self._out.send(item)
        except EngineError as error:
            self.failure = error
        finally:
            self._ended.set()

    async def stop(self) -> None:
        with anyio.CancelScope(shield=True):
            self._scope.cancel()
            await self._ended.wait()
