"""`python -m tests.bench`: what AIdeator costs, beside the bare engine, in one run."""

import os
import time
from functools import partial
from typing import Any

import anyio
import click
import msgspec
from rich.console import Console

from service.command import interruptible, run_to_end
from service.db.binaries import EmbeddedPostgresError
from service.engine.dagger_session import client_environ
from service.errors import EngineLostError
from tests.bench.bare import engine_version
from tests.bench.errors import BenchError
from tests.bench.machine import Machine, Moment, this_machine
from tests.bench.report import show
from tests.bench.rounds import MANY, Measured, counts, figures, measure, phases, warm_up
from tests.bench.served import ROOT, served

_EXPECTED = (BenchError, EmbeddedPostgresError, EngineLostError)
_INTERRUPTED = 130


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="How often all is measured.")
@click.option("--json", "file", type=click.Path(dir_okay=False, writable=True), help="Write all samples here, too.")
def main(rounds: int, file: str | None) -> None:
    """Measure AIdeator beside the bare Dagger engine, in turns, in one run. Nothing is judged: read it.

    Overhead of a warm `dagger call … summary` and of a warm run over HTTP; how long a line takes from an agent to a
    viewer; how long until 8 variations run. Needs a Dagger engine (`make engine`), a quiet machine and about 4 minutes.
    """
    run_to_end(interruptible, partial(_bench, rounds, file), expected=_EXPECTED)


async def _bench(rounds: int, file: str | None) -> None:
    measured = Measured()
    machine = await _measure(rounds, measured, Console(stderr=True, highlight=False))
    found, parts, counted = figures(measured), phases(measured), counts(measured)
    show(_console(), machine, found, parts, counted)
    if file:
        content: dict[str, Any] = {"machine": machine, "rounds": rounds, "figures": [each.as_json() for each in found]}
        content |= {"phases": [each.as_json() for each in parts], "counts": counted}
        await anyio.Path(file).write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")


async def _measure(rounds: int, measured: Measured, progress: Console) -> Machine:
    environ, before, begun = client_environ(os.environ, ROOT), Moment.now(), time.monotonic()
    try:
        engine = await engine_version(environ)
    except EngineLostError as error:
        raise BenchError(f"{error}; `make engine` makes one where there is no Docker") from error
    progress.print(f"engine {engine}; starting a service with a Postgres of its own")
    async with served(environ, max_variations=MANY) as service:
        await warm_up(environ, service, progress.status)
        progress.print(f"warm after {time.monotonic() - begun:.0f} s")
        for number in range(1, rounds + 1):
            begun = time.monotonic()
            await measure(environ, service, measured, lambda what, number=number: progress.status(f"{number}: {what}"))
            progress.print(f"round {number} of {rounds}: {time.monotonic() - begun:.0f} s")
        return this_machine(before, engine=engine, Postgres=await service.postgres_version())


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=110)


if __name__ == "__main__":
    main()
