"""What the engine takes of the processor for a line, and what a reader of the same pipe takes that does nothing."""

import time
from contextlib import aclosing
from pathlib import Path
from statistics import fmean
from uuid import uuid4

import msgspec
from msgspec import Struct

from agent_image.told import Told
from aideator.task import arguments
from service.engine import Line, SandboxSpec, Task
from service.engine.asked import asked_of
from service.engine.local.confine import confined
from service.engine.local.confinement import WORKSPACE, Confinement
from service.engine.local.engine import LocalEngine
from service.engine.local.host import Host
from service.engine.local.programs import Programs
from tests.bench.commands import BURST_LINES, burst_of, command_line
from tests.bench.errors import BenchError

LINES = 4 * BURST_LINES
_TURNS = 3


class Read(Struct, frozen=True):
    """CPU time of this process, in microseconds a line, from the first line to the last."""

    engine_us: float
    bare_us: float


async def read_lines(engine: LocalEngine, host: Host, spec: SandboxSpec, folder: Path) -> Read:
    """Read lines that an agent prints as fast as it can, in turns by the engine and from its sandbox alone."""
    task = Task(prompt="print", agent="command", model="scripted", command=command_line(burst_of(LINES)), timeout_s=120)
    by_engine: list[float] = []
    bare: list[float] = []
    for _ in range(_TURNS):
        by_engine.append(await _by_engine(engine, spec, task))
        bare.append(await _bare(host, task, folder / uuid4().hex))
    return Read(fmean(by_engine), fmean(bare))


class _Count:
    """Counts lines, and the CPU time from the first to the last that is wanted: what comes after is not theirs."""

    def __init__(self) -> None:
        self._lines = 0
        self._begun = 0.0
        self._ended = 0.0

    def add(self, lines: int) -> None:
        self._begun = self._begun or time.process_time()
        self._lines += lines
        if self._lines >= LINES and not self._ended:
            self._ended = time.process_time()

    def a_line(self) -> float:
        """Microseconds."""
        if not self._ended:
            raise BenchError(f"{self._lines} lines came, not {LINES}")
        return (self._ended - self._begun) / LINES * 1e6


async def _by_engine(engine: LocalEngine, spec: SandboxSpec, task: Task) -> float:
    count = _Count()
    async with engine.open(spec) as sandbox:
        async with aclosing(sandbox.prepare()) as items:
            _ = [item async for item in items]
        async with aclosing(sandbox.vary(0, task)) as items:
            async for item in items:
                if isinstance(item, Line):
                    count.add(1)
    return count.a_line()


async def _bare(host: Host, task: Task, folder: Path) -> float:
    """The same harness in a sandbox, its bytes taken from the same stream and dropped."""
    programs = Programs(folder / "agents", ())
    for name in ("workspace", "home"):
        host.make(folder / "tree" / name)
    what = Confinement(
        binds=programs.binds,
        tree=folder / "tree",
        workdir=WORKSPACE,
        environ={"PATH": programs.path},
        stdin=msgspec.json.encode(Told(tuple(arguments(asked_of(uuid4(), 0, task))), {})),
    )
    count = _Count()
    async with confined(host, programs.harness(), what) as process:
        async for chunk in process.chunks():
            count.add(chunk.count(b"\n"))
    return count.a_line()
