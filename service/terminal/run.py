"""A run in a terminal: the executor of the service, on a Postgres that ends with it, and no HTTP."""

import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, nullcontext, suppress
from typing import Any
from uuid import UUID

import click
import msgspec
from msgspec import structs
from rich.console import Console

from service.db.connect import connected
from service.engine.choose import Chosen, choose_engine, local_home
from service.errors import ConflictError, EngineUnavailableError, InvalidError, from_decoding
from service.frames import FrameName, decode
from service.providers import read_providers
from service.request import RunRequest
from service.rules import Rules, read_rules
from service.run import RunSpec, RunView, State
from service.settings import Settings, with_named_file
from service.terminal import junit
from service.terminal.display import Display, Json, Lines
from service.terminal.grid import Grid
from service.terminal.interrupt import Interrupt
from service.terminal.keep import Folder, KeepError, make_folder
from service.terminal.repository import Repository, repository
from service.terminal.wanted import Wanted
from service.validate import to_spec
from service.worker import Worker, at_work, make_worker

_PATCHES, _NONE, _ENGINE = 0, 1, 3
_NOT_THE_AGENTS = ("engine.", "service.", "gateway.", "internal")
"""Beginnings of codes that say nothing of the agents' work."""


async def run_in_terminal(wanted: Wanted, interrupt: Interrupt, postgres: Callable[[], Awaitable[str]]) -> int:
    """Carry it out; returns the exit status. `postgres` gives the URL of a database that ends with the run.

    Raises:
        InvalidError: what is asked for cannot be; nothing was begun.
        SettingsError: a setting cannot be.
        EngineUnavailableError: there is no engine.
        KeepError: a file could not be written; all else was done.

    """
    # The working directory may be a repository of strangers: none of its files is believed.
    environ = with_named_file(os.environ, wanted.env_file)
    settings = Settings.from_environ(environ, folder=None)
    if wanted.junit:
        junit.check_path(wanted.junit)
    folder = make_folder(wanted.output) if wanted.output else None
    with repository(wanted.repo, local_home(settings)) as found:
        request = _request(found, wanted.fields)
        chosen = await _choose(settings, environ)
        rules = read_rules(settings, read_providers(settings, environ, folder=None), chosen.engine.capabilities)
        rules = structs.replace(rules, allow=(*rules.allow, found.allow))
        spec = await to_spec(request, rules)
        await _announce(wanted, found, chosen)
        async with (
            folder.opened() if folder else nullcontext(),
            _worker(rules, chosen, await postgres()) as worker,
            _display(wanted, spec) as display,
        ):
            run_id = await _start(worker, spec, interrupt)
            await _follow(worker, run_id, display, folder, interrupt)
            run = await worker.runs.get(run_id)
            if folder:
                await folder.put_patches(run, lambda index: worker.runs.patch(run_id, index))
            failure = folder.failure if folder else None
            if wanted.junit:
                try:
                    junit.write(wanted.junit, junit.report(run, wanted.repo, folder.patch_path if folder else None))
                except KeepError as error:
                    failure = failure or error
            with suppress(OSError):  # nobody is left to read it
                await display.end(run, _last_words(run, folder))
    if failure:
        raise failure
    return _status(run)


def _request(found: Repository, fields: dict[str, Any]) -> RunRequest:
    """Read the options as the API reads a body, so that both refuse the same in the same words."""
    for field, value in fields.items():
        if not str(value).isascii() and any("\ud800" <= character <= "\udfff" for character in str(value)):
            raise InvalidError("request.invalid", field, "it is no UTF-8")
    body = msgspec.json.encode({"repo_url": found.url, **fields})
    try:
        return msgspec.json.decode(body, type=RunRequest)
    except msgspec.ValidationError as error:
        raise from_decoding(error) from error


async def _choose(settings: Settings, environ: Mapping[str, str]) -> Chosen:
    chosen = await choose_engine(settings, environ)
    health = await chosen.engine.health()
    if not health.ok:
        raise EngineUnavailableError(health.detail)
    return chosen


async def _announce(wanted: Wanted, found: Repository, chosen: Chosen) -> None:
    """Say what is about to be done, before anything takes long."""
    if found.left_out:
        click.echo(found.left_out, file=sys.stderr)
    if wanted.as_json:
        return
    lines = Lines(Console(highlight=False))
    with suppress(OSError):  # nobody reads it: the first frame ends the run in order
        await lines.say(f"engine: {chosen.engine.capabilities.name}, because {chosen.reason}")
        if not wanted.output:
            await lines.say("patches are shown as sizes and not kept; --output DIR keeps them")


@asynccontextmanager
async def _worker(rules: Rules, chosen: Chosen, database_url: str) -> AsyncGenerator[Worker]:
    async with connected(database_url) as database:
        worker = make_worker(rules, database, chosen.engine)
        async with at_work(worker):
            await worker.migrated.wait()
            yield worker


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


async def _start(worker: Worker, spec: RunSpec, interrupt: Interrupt) -> UUID:
    run_id = (await worker.runs.add(spec)).run_id

    async def cancel() -> None:
        with suppress(ConflictError):  # it has ended
            await worker.runs.request_cancel(run_id)
        worker.dispatcher.cancel(run_id)

    interrupt.call(cancel)
    worker.dispatcher.wake()
    return run_id


async def _follow(worker: Worker, run_id: UUID, display: Display, folder: Folder | None, interrupt: Interrupt) -> None:
    """Show the run, and keep its log, until its last frame."""
    is_seen = True
    async with aclosing(worker.log.follow(run_id, 0, worker.rules.settings.heartbeat)) as segments:
        async for segment in segments:
            frames = [frame for frame in decode(segment) if frame.name is not FrameName.HEARTBEAT]
            if folder and frames:
                await folder.add(frames)
            try:
                if is_seen:
                    await (display.show(frames) if frames else display.wait())
            except OSError:  # the terminal is closed, or whoever read the pipe has gone
                is_seen = False
                await interrupt.come()


def _last_words(run: RunView, folder: Folder | None) -> str:
    count = sum(bool(each.patch_bytes) for each in run.variations)
    if folder:
        return f"{_patches(count)} and log.jsonl in {folder.path}"
    return f"{_patches(count)}, not kept: --output DIR keeps them" if count else "no patch"


def _patches(count: int) -> str:
    return {0: "no patch", 1: "1 patch"}.get(count, f"{count} patches")


def _status(run: RunView) -> int:
    if any(each.state is State.SUCCEEDED and each.patch_bytes for each in run.variations):
        return _PATCHES
    return _ENGINE if run.state is State.LOST or run.code.startswith(_NOT_THE_AGENTS) else _NONE
