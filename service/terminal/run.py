"""A run in a terminal: the executor of the service, on a Postgres that ends with it, and no HTTP."""

import errno
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, nullcontext, suppress
from functools import partial
from uuid import UUID

import anyio
import click
from rich.console import Console

from service.db.availability import FAILURES
from service.db.connect import connected
from service.errors import ConflictError
from service.frames import FrameName, decode
from service.run import RunSpec, RunView, State
from service.terminal import junit
from service.terminal.display import Display, Json, Lines
from service.terminal.grid import Grid
from service.terminal.interrupt import Interrupt
from service.terminal.keep import Folder, KeepError
from service.terminal.order import Order
from service.terminal.wanted import Wanted
from service.worker import Worker, at_work, make_worker

_PATCHES, _NONE, _ENGINE = 0, 1, 3
_GONE = (errno.EPIPE, errno.EIO)
"""What comes of writing to a pipe whose reader has gone, or a terminal that is closed."""
_NOT_THE_AGENTS = ("engine.", "service.", "gateway.", "internal")
"""Beginnings of codes that say nothing of the agents' work."""


async def run_in_terminal(order: Order, interrupt: Interrupt, postgres: Callable[[], Awaitable[str]]) -> int:
    """Carry it out; returns the exit status. `postgres` gives the URL of a database that ends with the run.

    Raises:
        InvalidError: the folder for its patches cannot be made; nothing was begun.
        KeepError: a file could not be written; all else was done.

    """
    await _announce(order)
    wanted = order.wanted
    folder = Folder(wanted.output) if wanted.output else None
    failures: list[KeepError] = []
    async with (
        connected(await postgres()) as database,
        folder.opened() if folder else nullcontext(),
        _display(wanted, order.spec) as display,
    ):
        worker = make_worker(order.rules, database, order.chosen.engine)
        async with at_work(worker):
            run_id = await _start(worker, order.spec)
            interrupt.call(partial(_cancel, worker, run_id))
            interrupt.tell = display.tell
            await _follow(worker, run_id, display, folder, interrupt)
        run = await worker.runs.get(run_id)
        if folder:
            await folder.put_patches(run, lambda index: worker.runs.patch(run_id, index))
            failures += [folder.failure] if folder.failure else []
        if wanted.junit:
            try:
                junit.write(wanted.junit, junit.report(run, wanted.repo, folder.patches if folder else {}))
            except KeepError as error:
                failures.append(error)
        await _show_end(display, run, _last_words(run, folder), interrupt)
        if display.failure and display.failure.errno not in _GONE:
            failures.append(KeepError(f"the output: {display.failure.strerror}"))
    if failures:
        raise failures[0]
    return _status(run)


async def _announce(order: Order) -> None:
    """Say what is about to be done, before anything takes long."""
    if order.repository.left_out:
        click.echo(order.repository.left_out, file=sys.stderr)
    if order.wanted.as_json:
        return
    lines = Lines(Console(highlight=False))
    with suppress(OSError):  # nobody reads it: the first frame ends the run in order
        await lines.say(f"engine: {order.chosen.engine.capabilities.name}, because {order.chosen.reason}")
        if not order.wanted.output:
            await lines.say("patches are shown as sizes and not kept; --output DIR keeps them")


@asynccontextmanager
async def _display(wanted: Wanted, spec: RunSpec) -> AsyncGenerator[Display]:
    if wanted.as_json:
        yield Json()
        return
    console = Console(highlight=False)
    grid = Grid(console, [" ".join(filter(None, (each.agent, each.model))) for each in spec.agents], spec.prompt)
    is_screen = sys.stdout.isatty() and not console.is_dumb_terminal  # colours may be forced into a pipe, panels not
    if not (is_screen and grid.fits()):
        yield Lines(console)
        return
    async with grid:
        yield grid


async def _start(worker: Worker, spec: RunSpec) -> UUID:
    """Add the run; returns once it is in flight: what still waits for its turn is not cancelled at once."""
    await worker.migrated.wait()
    run_id = (await worker.runs.add(spec)).run_id
    worker.dispatcher.wake()
    async with aclosing(worker.log.follow(run_id, 0, worker.rules.settings.heartbeat)) as segments:
        await anext(segments)
    return run_id


async def _cancel(worker: Worker, run_id: UUID, *, at_once: bool) -> None:
    worker.dispatcher.cancel(run_id, at_once=at_once)
    with suppress(ConflictError, *FAILURES):  # it has ended, or Postgres is away, and the run is told already
        await worker.runs.request_cancel(run_id)


async def _follow(worker: Worker, run_id: UUID, display: Display, folder: Folder | None, interrupt: Interrupt) -> None:
    """Show the run, and keep its log, until its last frame."""
    async with aclosing(worker.log.follow(run_id, 0, worker.rules.settings.heartbeat)) as segments:
        async for segment in segments:
            frames = [frame for frame in decode(segment) if frame.name is not FrameName.HEARTBEAT]
            if folder and frames:
                await folder.add(frames)
            try:
                if display.failure is None:
                    await (display.show(frames) if frames else display.wait())
            except OSError as error:
                display.failure = error
                await interrupt.come()


async def _show_end(display: Display, run: RunView, last: str, interrupt: Interrupt) -> None:
    """Show what came of it, if anybody is left to read it, for as long as nobody interrupts."""
    with anyio.CancelScope() as showing:

        async def stop(*, at_once: bool) -> None:  # noqa: ARG001 -- the same for all
            showing.cancel()

        interrupt.call(stop)
        with suppress(OSError):
            await display.end(run, last)


def _last_words(run: RunView, folder: Folder | None) -> str:
    count = sum(bool(each.patch_bytes) for each in run.variations)
    if folder:
        is_whole = folder.failure is None
        return f"{_patches(len(folder.patches))}{' and log.jsonl' if is_whole else ''} in {folder.path}"
    return f"{_patches(count)}, not kept: --output DIR keeps them" if count else "no patch"


def _patches(count: int) -> str:
    return {0: "no patch", 1: "1 patch"}.get(count, f"{count} patches")


def _status(run: RunView) -> int:
    if any(each.state is State.SUCCEEDED and each.patch_bytes for each in run.variations):
        return _PATCHES
    return _ENGINE if run.state is State.LOST or run.code.startswith(_NOT_THE_AGENTS) else _NONE
