"""`aideator run`."""

import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import click
from anyio import to_thread

from service.command import INTERRUPTED, leaves, run_to_end
from service.db.binaries import EmbeddedPostgresError
from service.db.embedded import beginning_postgres
from service.errors import EngineUnavailableError, InvalidError
from service.logs import set_up_logging
from service.run import Agent
from service.settings import SettingsError
from service.terminal.interrupt import Interrupt, interruptible
from service.terminal.keep import KeepError
from service.terminal.wanted import Wanted

_MOST_SECONDS, _MOST_USD = 86_400, 1_000_000
_EXPECTED = (InvalidError, SettingsError, EngineUnavailableError, EmbeddedPostgresError, KeepError)
_STATUSES: dict[type[BaseException], int] = {
    InvalidError: 2,
    SettingsError: 2,
    EngineUnavailableError: 3,
    EmbeddedPostgresError: 3,
    KeepError: 3,
}
_CODES: dict[type[BaseException], str] = {
    SettingsError: "settings.invalid",
    EmbeddedPostgresError: "postgres.unavailable",
}


def _told(_: click.Context, __: click.Parameter, value: str | tuple[str, ...] | None) -> object:
    """Refuse a blank: a variable that CI has not set is no prompt."""
    texts = [value] if isinstance(value, str) else value or ()
    if not all(text.strip() for text in texts):
        raise click.BadParameter("there is nothing in it")
    return value


def _number(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
    if value is not None and math.isnan(value):
        raise click.BadParameter(f"{value} is no number")
    return value


class _Command(click.Command):
    """Reports what it refuses, too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if path := _report_path(given):
                report_failure(path, InvalidError("request.invalid", "command line", error.format_message()))
            raise


def _report_path(args: Sequence[str]) -> Path | None:
    for number, each in enumerate(args):
        if each.startswith("--junit="):
            return Path(each.removeprefix("--junit="))
        if each == "--junit" and number + 1 < len(args):
            return Path(args[number + 1])
    return None


@click.command("run", cls=_Command)
@click.option(
    "--repo", required=True, metavar="URL|PATH", help="https://, http:// or git://, or a folder: its commits."
)
@click.option("--prompt", callback=_told, required=True, metavar="TEXT", help="What the agents are asked to do.")
@click.option(
    "-n", "--variations", type=click.IntRange(min=1), metavar="N", help="How many agents work side by side; 3."
)
@click.option("--ref", metavar="REF", help="Branch, tag or commit; by default HEAD.")
@click.option("--agent", type=click.Choice(get_args(Agent)), help="Who works; `builtin` by default.")
@click.option("--model", callback=_told, metavar="PROVIDER/NAME", help="What the agents ask; each kind has a default.")
@click.option("--command", "command_line", metavar="LINE", help="The command line of the agent `command`.")
@click.option(
    "--setup",
    callback=_told,
    multiple=True,
    metavar="LINE",
    help="A shell command that is run once, first; may be repeated.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, _MOST_SECONDS, min_open=True),
    callback=_number,
    metavar="SECONDS",
    help="Until an agent is stopped; AGENT_TIMEOUT.",
)
@click.option(
    "--budget-usd",
    type=click.FloatRange(0, _MOST_USD, min_open=True),
    callback=_number,
    metavar="USD",
    help="What all model calls may cost; BUDGET_USD.",
)
@click.option("--image", metavar="REFERENCE", help="The container image, on a Dagger engine.")
@click.option(
    "--json", "as_json", is_flag=True, help="Write the log to stdout, a JSON object a line, and nothing else."
)
@click.option(
    "--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write a JUnit report, whatever happens."
)
@click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Settings, as lines NAME=value. No other is read.",
)
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="Keep N.patch and log.jsonl there.")
def command(
    *,
    repo: str,
    as_json: bool,
    junit: Path | None,
    output: Path | None,
    env_file: Path | None,
    command_line: str | None,
    budget_usd: float | None,
    **fields: Any,
) -> None:
    """Let agents work on a repository, and watch them here: no server, and nothing is kept but what --output names.

    On a terminal with the room for it, a panel for each variation; else lines. Ctrl-C cancels the run. What the engine
    is, models, keys and limits are settings, as for `serve`: see .env.example. No file of the
    working directory is read.

    \b
    Exit status:
      0    at least one variation succeeded, with a patch
      1    none did: no patch, or clone, image or setup failed
      2    an option, or a setting, is refused; nothing was begun
      3    the engine, or Postgres, cannot be had, or was lost; or a file cannot be written
      130  interrupted; the patches and the report are of what there is
    """  # noqa: D301 -- \b is click's: it keeps these lines
    set_up_logging(logging.ERROR)  # the screen is the run's
    fields |= {"command": command_line, "budget": None if budget_usd is None else {"usd": budget_usd}}
    asked = {name: value for name, value in fields.items() if value is not None}
    wanted = Wanted(repo=repo, fields=asked, as_json=as_json, junit=junit, output=output, env_file=env_file)

    run_to_end(
        interruptible, partial(_run, wanted), expected=_EXPECTED, status_of=lambda error: _STATUSES.get(type(error), 1)
    )


async def _run(wanted: Wanted, interrupt: Interrupt) -> int:
    status, has_ended = INTERRUPTED, False
    try:
        order = await to_thread.run_sync(import_module, "service.terminal.order")
        async with order.ordered(wanted) as ordered, beginning_postgres() as postgres:
            # Meanwhile: what a run is made of loads as long as Postgres starts, and this needs the other core.
            run = await to_thread.run_sync(import_module, "service.terminal.run")
            status = await run.run_in_terminal(ordered, interrupt, postgres)
            has_ended = True
    except BaseException as error:
        if wanted.junit and not has_ended:  # else there is the run's own
            report_failure(wanted.junit, leaves(error)[0])
        raise
    return status


def report_failure(path: Path, error: BaseException) -> None:
    """Write a report of what kept a run from its own, as far as that can be; the error is told elsewhere."""
    if isinstance(error, KeepError):  # the run's own was written, or cannot be
        return
    junit = import_module("service.terminal.junit")
    code, detail = _CODES.get(type(error), getattr(error, "code", "internal")), str(error)
    if not isinstance(error, Exception):
        code, detail = "interrupted", "it was interrupted before the run began"
    with suppress(InvalidError, KeepError):
        junit.check_path(path)
        junit.write(path, junit.report_of_none(code, detail))
