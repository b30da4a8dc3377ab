"""`python -m tests.bench`: what AIdeator costs, beside what there is without it, in one run."""

import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import click
import msgspec
from msgspec import Struct
from rich.console import Console

from service.command import interruptible, run_to_end
from service.db.binaries import EmbeddedPostgresError
from service.engine.dagger.place import client_environ, look_for_dagger
from service.errors import EngineError, EngineLostError, EngineUnavailableError, PrepareError
from tests.bench.bare import engine_version
from tests.bench.errors import BenchError
from tests.bench.figure import Findings
from tests.bench.local.engines import engines
from tests.bench.local.findings import findings as local_findings
from tests.bench.local.large import repositories
from tests.bench.local.rounds import LocalRounds
from tests.bench.machine import Moment, this_machine
from tests.bench.report import show
from tests.bench.rounds import MANY, Announce, Measured, findings, measure, warm_up
from tests.bench.served import ROOT, served

_EXPECTED = (BenchError, EmbeddedPostgresError, EngineError, EngineLostError, EngineUnavailableError, PrepareError)


class _Part(Struct, frozen=True):
    """What was found on one engine, and the versions of what took part."""

    findings: Findings
    versions: dict[str, str]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="How often all is measured.")
@click.option("--engine", type=click.Choice(["dagger", "local"]), help="Measure on this one alone.")
@click.option("--json", "file", type=click.Path(dir_okay=False, writable=True), help="Write all samples here, too.")
def main(rounds: int, engine: str | None, file: str | None) -> None:
    """Measure AIdeator beside what there is without it, in turns, in one run. Nothing is judged: read it.

    On the local engine beside git and a bare reader, on a Dagger engine (`make engine`) beside that alone; what is not
    there is left out. Needs a quiet machine, and about 4 minutes for each.
    """
    run_to_end(interruptible, partial(_bench, rounds, engine, file), expected=_EXPECTED)


async def _bench(rounds: int, engine: str | None, file: str | None) -> None:
    before, progress = Moment.now(), Console(stderr=True, highlight=False)
    parts: list[_Part] = []
    missing: list[str] = []
    for name, bench in {"local": _on_local, "dagger": _on_dagger}.items():
        if engine in {None, name}:
            try:
                parts.append(await bench(rounds, progress))
            except EngineUnavailableError as error:
                missing.append(f"no figures of the engine {name!r}: {error}")
                progress.print(missing[-1])
    if not parts:
        raise BenchError("there is no engine to measure")
    versions = {name: version for part in parts for name, version in part.versions.items()}
    machine, found = this_machine(before, **versions), [part.findings for part in parts]
    show(_console(), machine, found, missing)
    if file:
        content: dict[str, Any] = {"machine": machine, "rounds": rounds, "missing": missing}
        content["engines"] = [each.as_json() for each in found]
        await anyio.Path(file).write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")


async def _on_dagger(rounds: int, progress: Console) -> _Part:
    environ, measured = client_environ(os.environ, ROOT), Measured()
    found = await look_for_dagger(environ)
    if not found.ok:
        raise EngineUnavailableError(f"{found.detail}; `make engine` makes one where there is no Docker")
    engine = await engine_version(environ)
    progress.print(f"Dagger {engine}; starting a service with a Postgres of its own")
    async with served({**environ, "AIDEATOR_ENGINE": "dagger"}, max_variations=MANY) as service:
        await warm_up(environ, service, progress.status)
        await _in_rounds(rounds, progress, partial(measure, environ, service, measured))
        return _Part(findings(measured), {"Dagger": engine, "Postgres": await service.postgres_version()})


async def _on_local(rounds: int, progress: Console) -> _Part:
    # Not in /tmp, which may be memory.
    with TemporaryDirectory(prefix="aideator-bench-", dir="/var/tmp") as folder:
        async with engines(Path(folder)) as found:
            progress.print(f"bubblewrap {found.host.bwrap_version}; making a large repository")
            with repositories(Path(folder)) as served_by_git:
                bench = LocalRounds(found, served_by_git, os.environ)
                await bench.warm_up(progress.status)
                await _in_rounds(rounds, progress, bench.measure)
        return _Part(local_findings(bench.measured), {"bubblewrap": found.host.bwrap_version})


async def _in_rounds(rounds: int, progress: Console, measure_once: Callable[[Announce], Awaitable[None]]) -> None:
    for number in range(1, rounds + 1):
        begun = time.monotonic()
        await measure_once(partial(_announce, progress, number))
        progress.print(f"round {number} of {rounds}: {time.monotonic() - begun:.0f} s")


def _announce(progress: Console, number: int, what: str) -> AbstractContextManager[Any]:
    return progress.status(f"{number}: {what}")


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=110)


if __name__ == "__main__":
    main()
