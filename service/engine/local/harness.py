"""The harness in a sandbox of this machine: its lines as they come, and its end, which comes in time."""

import os
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio
import msgspec
from anyio import to_thread
from anyio.abc import TaskGroup
from msgspec import Struct

from agent_image.events import EXIT_STATUS, Outcome
from agent_image.told import Told
from service.engine import Ended, Line, Producer
from service.engine.lines import LineSplitter
from service.engine.local.confine import KILLED, Confined, confined
from service.engine.local.confinement import WORKSPACE, Bind, Confinement, Limits
from service.engine.local.disk import look_at_disk, watch_disk
from service.engine.local.host import Host
from service.engine.local.outward import outward_sandbox
from service.engine.local.programs import Programs
from service.engine.local.removal import remove
from service.engine.local.trees import Tree
from service.engine.local.unnamed import unnamed_bytes
from service.errors import EngineError

_GRACE_S = 5.0
"""How long after its deadline a harness may take to end, before it is ended from here."""
_MARKS = ("RUN_ID", "VARIATION_ID")
"""Variables by which people who look at this machine's processes tell whose they are."""
_OUT_OF_MEMORY = "its processes took more memory than LOCAL_MEMORY lets them"
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
    """What the harness is told in secret, and commands find in theirs, but for what is ours."""
    binds: tuple[Bind, ...]
    network: bool
    limit_s: float
    grows: tuple[Path, ...] = ()
    """Folders that it may fill besides its tree, each as much."""


class LocalHarness:
    """`tasks` owns what watches over steps; `environ` is the operator's, and says how to go out to the network."""

    def __init__(
        self,
        host: Host,
        programs: Programs,
        limits: Limits,
        tasks: TaskGroup,
        *,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._environ = environ
        self._host = host
        self._programs = programs
        self._limits = limits
        self._tasks = tasks
        self._at_work: set[Confined] = set()
        self._is_ending = False

    def end(self) -> None:
        """Ask those that run to end, with all that they started, and those that are yet to run, too."""
        self._is_ending = True
        for process in self._at_work:
            self._tasks.start_soon(process.ask_to_end)

    async def run(self, step: Step) -> AsyncGenerator[Line | Ended]:
        """Yield what it prints, as it prints it, then how it ended; leaving this kills it and all that it started.

        Raises:
            EngineError: it cannot be started, or took more memory or disk than it may.

        """
        guard = _Guard(step, self._limits.disk_bytes)
        with _keeping(step.printed) as keep:
            async with confined(self._host, self._programs.harness(), self._confinement(step)) as process:
                self._tasks.start_soon(guard.watch, process)
                self._at_work.add(process)
                if self._is_ending:
                    self._tasks.start_soon(process.ask_to_end)
                try:
                    splitter = LineSplitter()
                    async for chunk in process.chunks():
                        keep(chunk)
                        time = datetime.now(UTC)
                        for line in splitter.feed(chunk):
                            yield Line(step.producer, line, time)
                    status = await process.wait()
                finally:
                    self._at_work.remove(process)
                    guard.stop()
                for line in (splitter.end(), *process.errors.splitlines()):
                    if line:
                        yield Line(step.producer, line, datetime.now(UTC))
                is_short = process.ran_out_of_memory
        yield await guard.judge(status, ran_out_of_memory=is_short)

    def _confinement(self, step: Step) -> Confinement:
        outward, trust = outward_sandbox(self._environ) if step.network else ({}, ())
        told = Told(tuple(step.arguments), {**outward, **step.environ})
        return Confinement(
            name=step.name,
            binds=(*self._programs.binds, *step.binds, *trust),
            tree=step.tree.shown,
            workdir=WORKSPACE,
            environ={
                "PATH": self._programs.path,
                **{name: step.environ[name] for name in _MARKS if name in step.environ},
            },
            stdin=msgspec.json.encode(told),
            network=step.network,
            limits=self._limits,
        )


@contextmanager
def _keeping(path: Path) -> Generator[Callable[[bytes], None]]:
    """What keeps bytes in a file: for what the live lines lack, so a full disk is no harm as long as they are here."""
    file = path.open("wb")

    def keep(chunk: bytes) -> None:
        try:  # noqa: SIM105 -- `suppress` costs a microsecond
            file.write(chunk)
        except OSError:
            pass

    try:
        yield keep
    finally:
        with suppress(OSError):
            file.close()


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
                await self._watch_all(partial(unnamed_bytes, process.first))
            self._is_late = limit.cancelled_caught
            process.kill()

    def stop(self) -> None:
        self._scope.cancel()

    async def judge(self, status: int, *, ran_out_of_memory: bool) -> Ended:
        """How the harness ended, once all is over. `EngineError` where it had too much."""
        changes = self._step.tree.changes
        if said := self._too_much or await to_thread.run_sync(look_at_disk, changes, self._disk_bytes):
            await to_thread.run_sync(remove, changes)  # others may be short of it
            raise EngineError("agent.disk", said)
        if self._is_late:
            return Ended(_TIMED_OUT)
        if status >= KILLED and ran_out_of_memory:
            raise EngineError("agent.memory", _OUT_OF_MEMORY)
        if ran_out_of_memory:  # it was a command that died, and the harness tells of it, but cannot know why
            return Ended(status, "agent.memory", _OUT_OF_MEMORY)
        return Ended(status)

    async def _watch_all(self, unnamed: Callable[[], int]) -> None:
        async with anyio.create_task_group() as watches:
            for folder in (self._step.tree.changes, *self._step.grows):
                watches.start_soon(self._watch_one, folder, unnamed, watches.cancel_scope)

    async def _watch_one(self, folder: Path, unnamed: Callable[[], int], all_of_them: anyio.CancelScope) -> None:
        self._too_much = await watch_disk(folder, self._disk_bytes, unnamed)
        all_of_them.cancel()
