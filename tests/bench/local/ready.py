"""How long until eight variations of a large repository are at work, and the same trees by git alone."""

import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from uuid import uuid4

import anyio
from msgspec import Struct

from agent_image.events import Started, decode_line
from service.engine import Line, Sandbox, Task
from tests.bench.errors import BenchError
from tests.bench.limit import limit
from tests.bench.local.engines import Local, known
from tests.bench.local.large import Asked, Repositories, spec
from tests.processes import descendants_that_say

MANY = 8

_SILENT = Task(prompt="wait", agent="command", model="scripted", command="exec sleep 300", timeout_s=600)
_LIMIT_S = 300.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Ready(Struct, frozen=True, kw_only=True):
    """Seconds since the engine was asked to open a sandbox."""

    workspace_s: float
    """The commit is known, and checked out once."""
    processes_s: float
    """In each of the sandboxes, with its own tree, the first process has begun: so says the kernel, to a hundredth."""
    started_s: float
    """Each of them, a Python, has printed its first event."""
    left_s: float
    """Not since then: from leaving it until nothing was left."""
    asked: Asked
    checkouts: int
    """That were made."""


async def ready(local: Local, repositories: Repositories) -> Ready:
    """Let variations of the large repository begin side by side, then end them.

    Raises:
        BenchError: they do not begin.

    """
    asked, checkouts, begun = repositories.asked(), local.checkouts(), time.monotonic()
    beginning, processes = _Beginning(), begun
    with limit(_LIMIT_S, f"{MANY} variations"):
        async with local.engine.open(spec(repositories.large)) as sandbox:
            async with aclosing(sandbox.prepare()) as items:
                _ = [item async for item in items]
            workspace = time.monotonic()
            async with anyio.create_task_group() as tasks:
                for index in range(MANY):
                    tasks.start_soon(beginning.watch, sandbox, index)
                await beginning.all.wait()
                processes = _first_processes_began()
                tasks.cancel_scope.cancel()
            left = time.monotonic()
    return Ready(
        workspace_s=workspace - begun,
        processes_s=processes - begun,
        started_s=beginning.at - begun,
        left_s=time.monotonic() - left,
        asked=repositories.asked().since(asked),
        checkouts=local.checkouts() - checkouts,
    )


class _Beginning:
    def __init__(self) -> None:
        self.all = anyio.Event()
        self.at = 0.0
        self._begun = 0

    async def watch(self, sandbox: Sandbox, index: int) -> None:
        async with aclosing(sandbox.vary(index, _SILENT)) as items:
            async for item in items:
                if isinstance(item, Line) and isinstance(decode_line(item.data), Started):
                    self._note()
        raise BenchError(f"variation {index} has ended, though it had to wait")

    def _note(self) -> None:
        self._begun += 1
        if self._begun == MANY:
            self.at = time.monotonic()
            self.all.set()


def _first_processes_began() -> float:
    """When the last of the sandboxes' first processes began, by the monotonic clock, at the latest."""
    found = [_stat(pid) for pid in descendants_that_say("agent_image")]
    bwraps = {pid for pid, name, _, _ in found if name == "bwrap"}
    began = [ticks for _, name, parent, ticks in found if name != "bwrap" and parent in bwraps]
    if len(began) != MANY:
        raise BenchError(f"{len(began)} sandboxes' first processes can be seen, not {MANY}")
    now = time.monotonic() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return now + (max(began) + 1) * _TICK_S


def _stat(pid: int) -> tuple[int, str, int, int]:
    """A process, its name, its parent, and when it began, in ticks since the machine started."""
    try:
        content = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return pid, "", 0, 0
    name, _, rest = content.partition("(")[2].rpartition(")")
    fields = rest.split()
    return pid, name, int(fields[1]), int(fields[19])


async def cold(repositories: Repositories, folder: Path) -> Ready:
    """The same on an engine that has never seen the repository."""
    return await ready(await known(folder / uuid4().hex), repositories)


async def worktrees(bare: Path, folder: Path) -> float:
    """Seconds that eight worktrees take by git, checked out side by side."""
    places = [str(folder / uuid4().hex) for _ in range(MANY)]
    begun = time.monotonic()
    for place in places:  # two at once trip over each other's half-made entries
        await _side_by_side(
            [["git", "-C", str(bare), "worktree", "add", "--quiet", "--detach", "--no-checkout", place]]
        )
    await _side_by_side([["git", "-C", place, "reset", "--quiet", "--hard"] for place in places])
    return time.monotonic() - begun


async def shared_clones(bare: Path, folder: Path) -> float:
    """The same of clones that borrow the objects."""
    clone = ["git", "clone", "--quiet", "--shared", str(bare)]
    return await _side_by_side([[*clone, str(folder / uuid4().hex)] for _ in range(MANY)])


async def shallow_clone(url: str, folder: Path) -> float:
    """Seconds that git takes for a clone of one commit, checked out."""
    return await _side_by_side([["git", "clone", "--quiet", "--depth=1", url, str(folder / uuid4().hex)]])


async def _side_by_side(commands: Sequence[Sequence[str]]) -> float:
    begun = time.monotonic()
    try:
        async with anyio.create_task_group() as tasks:
            for command in commands:
                tasks.start_soon(anyio.run_process, command)
    except* subprocess.CalledProcessError as errors:
        raise BenchError(f"git failed: {errors.exceptions[0]}") from None
    return time.monotonic() - begun
