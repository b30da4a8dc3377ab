"""`aideator demo`."""

import logging
from functools import partial
from importlib import import_module

import click
from anyio import to_thread

from service.command import interruptible, run_to_end
from service.db.binaries import EmbeddedPostgresError
from service.db.embedded import beginning_postgres
from service.demo.errors import DemoError
from service.errors import EngineUnavailableError, ServeError
from service.logs import set_up_logging
from service.settings import SettingsError

_EXPECTED = (DemoError, EmbeddedPostgresError, EngineUnavailableError, SettingsError, ServeError)


@click.command("demo")
@click.option("--keep", is_flag=True, help="Keep serving after the run, and print the URL.")
def command(*, keep: bool) -> None:
    """Run three scripted agents on a sample repository with a failing test, and watch them: no key needed.

    One mends the test, one breaks more, one never ends and meets its deadline. Patches and log are left in .demo.
    """
    set_up_logging(logging.ERROR)  # the screen is the run's
    run_to_end(interruptible, partial(_demo, keep=keep), expected=_EXPECTED)


async def _demo(*, keep: bool) -> None:
    async with beginning_postgres() as postgres:
        # Meanwhile: what a service is made of loads as long as Postgres starts, and this needs the other core.
        demo = await to_thread.run_sync(import_module, "service.demo.demo")
        await demo.run_demo(postgres, keep=keep)
