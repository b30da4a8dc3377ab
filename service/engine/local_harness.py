"""The harness in a sandbox of this machine: its lines as they come, and its end, which comes in time."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import anyio
from anyio.abc import TaskGroup
from msgspec import Struct

from agent_image.events import EXIT_STATUS, Outcome
from service.engine import Ended, Line, Producer
from service.engine.lines import LineSplitter
from service.engine.local_confine import Confined, confined
from service.engine.local_confinement import WORKSPACE, Bind, Confinement, Limits
from service.engine.local_disk import watch_disk
from service.engine.local_host import Host
from service.engine.local_programs import Programs
from service.engine.local_trees import Tree
from service.errors import EngineError

_GRACE_S = 5.0
"""How long after its deadline a harness may take to end, before it is ended from here."""
_KILLED = 128
_TIMED_OUT = EXIT_STATUS[Outcome.TIMED_OUT]


class Step(Struct, frozen=True, kw_only=True):
    """One time that the harness runs."""

    name: str
    producer: Producer
    arguments: Sequence[str]
    tree: Tree
    printed: Path
    """The file that keeps what it prints."""
    environ: dict[str, str]
    binds: tuple[Bind, ...]
    network: bool
    limit_s: float


class LocalHarness:
    """`tasks` owns what watches over steps; `disk_bytes` is what a step may add to its tree."""

    def __init__(self, host: Host, programs: Programs, limits: Limits, tasks: TaskGroup) -> None:
        self._host = host
        self._programs = programs
        self._limits = limits
        self._tasks = tasks

    async def run(self, step: Step) -> AsyncGenerator[Line | Ended]:
        """Yield what it prints, as it prints it, then how it ended; leaving this kills it and all that it started.

        Raises:
            EngineError: it cannot be started, or took more memory or disk than it may.

        """
        guard = _Guard(step, self._limits.file_bytes)
        with step.printed.open("wb", buffering=0) as printed:
            async with confined(self._host, self._programs.harness(step.arguments), self._confinement(step)) as process:
                self._tasks.start_soon(guard.watch, process)
                try:
                    splitter = LineSplitter()
                    async for chunk in process.chunks():
                        with suppress(OSError):  # kept for what the live lines lack, and they are here
                            printed.write(chunk)
                        time = datetime.now(UTC)
                        for line in splitter.feed(chunk):
                            yield Line(step.producer, line, time)
                    status = await process.wait()
                finally:
                    guard.stop()
                for line in (splitter.end(), *process.errors.splitlines()):
                    if line:
                        yield Line(step.producer, line, datetime.now(UTC))
                ended = guard.judge(status, ran_out_of_memory=process.ran_out_of_memory)
        yield ended

    def _confinement(self, step: Step) -> Confinement:
        return Confinement(
            name=step.name,
            binds=(*self._programs.binds, *step.binds),
            tree=step.tree.shown,
            workdir=WORKSPACE,
            environ={"PATH": self._programs.path, **step.environ},
            network=step.network,
            limits=self._limits,
        )


class _Guard:
    """Ends a harness that has been stopped from within, or that takes too much of the disk."""

    def __init__(self, step: Step, disk_bytes: int) -> None:
        self._step = step
        self._disk_bytes = disk_bytes
        self._scope = anyio.CancelScope()
        self._too_much = ""
        self._is_late = False

    async def watch(self, process: Confined) -> None:
        with self._scope:
            with anyio.move_on_after(self._step.limit_s + _GRACE_S) as limit:
                self._too_much = await watch_disk(self._step.tree.changes, self._disk_bytes)
            self._is_late = limit.cancelled_caught
            process.kill()

    def stop(self) -> None:
        self._scope.cancel()

    def judge(self, status: int, *, ran_out_of_memory: bool) -> Ended:
        """How the harness ended. `EngineError` where it had too much."""
        if self._too_much:
            raise EngineError("agent.disk", self._too_much)
        if self._is_late:
            return Ended(_TIMED_OUT)
        if status >= _KILLED and ran_out_of_memory:
            raise EngineError("agent.memory", "its processes took more memory than LOCAL_MEMORY lets them")
        return Ended(status)
