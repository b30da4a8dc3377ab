"""The command `aideator`."""

import logging
import os
import signal
import sys
from pathlib import Path

import anyio
import click
import structlog

from service.app import create_app
from service.command import run_to_end
from service.db.binaries import EmbeddedPostgresError
from service.db.connect import connected
from service.demo.demo import DemoError, run_demo
from service.engine.dagger import DaggerEngine
from service.engine.dagger_session import client_environ
from service.providers import read_providers
from service.serving import ServeError, serving
from service.settings import Settings, SettingsError, superseded

logger: structlog.stdlib.BoundLogger = structlog.get_logger()

_EXPECTED = (DemoError, EmbeddedPostgresError, SettingsError, ServeError)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """N coding agents work on one git repository at once; watch them live, and take a patch from each.

    Settings are environment variables, or lines of a file .env in the working directory; .env.example has them all.
    """


@main.command()
@click.option("--port", type=click.IntRange(0, 65_535), help="Where HTTP is served; PORT, or 8000. 0 takes a free one.")
def serve(port: int | None) -> None:
    """Serve the HTTP API on 127.0.0.1, until Ctrl-C.

    Without DATABASE_URL a Postgres of its own keeps the data, which survives. There is no authentication yet: whoever
    reaches this machine's loopback can start runs.
    """
    overrides = {} if port is None else {"PORT": str(port)}
    run_to_end(_serve, overrides, expected=_EXPECTED)


@main.command()
@click.option("--keep", is_flag=True, help="Keep serving after the run, and print the URL.")
def demo(*, keep: bool) -> None:
    """Run three scripted agents on a sample repository with a failing test, and watch them: no key needed.

    One mends the test, one breaks more, one never ends and meets its deadline. Patches and log are left in .demo.
    """
    set_up_logging(logging.ERROR)  # the screen is the run's
    run_to_end(run_demo, keep, expected=_EXPECTED)


async def _serve(overrides: dict[str, str]) -> None:
    settings = Settings.from_environ({**os.environ, **overrides})
    providers = read_providers(settings)
    set_up_logging(logging.DEBUG if settings.debug else logging.INFO)
    for name, reason in superseded().items():
        logger.warning("variable ignored", name=name, reason=reason)
    engine = DaggerEngine(client_environ(os.environ, Path.cwd()))
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with (
            connected(settings.database_url) as database,
            serving(create_app(settings, database, engine, providers), settings.port) as url,
        ):
            logger.info("serving", url=url, docs=f"{url}/docs", authentication="none: this machine only")
            health = await engine.health()
            logger.info("engine", ok=health.ok, detail=health.detail)
            await anext(signals)
            logger.info("stopping")


def set_up_logging(level: int) -> None:
    """Log to stderr: in colours for people, as JSON lines where it is no terminal."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    # Not the rich tracebacks: those take seconds each, in which nobody is served.
    people = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    programs = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *([people] if sys.stderr.isatty() else programs),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
