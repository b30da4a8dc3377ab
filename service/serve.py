"""`aideator serve`: the service, until somebody stops it."""

import logging
import os
import signal

import anyio
import click
import structlog

from service.app import create_app
from service.command import run_to_end
from service.db.binaries import EmbeddedPostgresError
from service.db.connect import connected
from service.engine.choose import choose_engine
from service.errors import EngineUnavailableError, ServeError
from service.logs import set_up_logging
from service.providers import read_providers
from service.serving import serving
from service.settings import Settings, SettingsError, superseded

logger: structlog.stdlib.BoundLogger = structlog.get_logger()

_EXPECTED = (EmbeddedPostgresError, EngineUnavailableError, SettingsError, ServeError)


@click.command("serve")
@click.option("--port", type=click.IntRange(0, 65_535), help="Where HTTP is served; PORT, or 8000. 0 takes a free one.")
def command(port: int | None) -> None:
    """Serve the HTTP API on 127.0.0.1, until Ctrl-C.

    Without DATABASE_URL a Postgres of its own keeps the data, which survives. There is no authentication yet: whoever
    reaches this machine's loopback can start runs.
    """
    overrides = {} if port is None else {"PORT": str(port)}
    run_to_end(_serve, overrides, expected=_EXPECTED)


async def _serve(overrides: dict[str, str]) -> None:
    settings = Settings.from_environ({**os.environ, **overrides})
    providers = read_providers(settings)
    set_up_logging(logging.DEBUG if settings.debug else logging.INFO)
    for name, reason in superseded().items():
        logger.warning("variable ignored", name=name, reason=reason)
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        chosen = await choose_engine(settings, os.environ)
        engine, name = chosen.engine, chosen.engine.capabilities.name
        logger.info("engine", name=name, reason=chosen.reason)
        async with (
            connected(settings.database_url) as database,
            serving(create_app(settings, database, engine, providers, reason=chosen.reason), settings.port) as url,
        ):
            logger.info("serving", url=url, docs=f"{url}/docs", authentication="none: this machine only")
            health = await engine.health()
            logger.info("engine answers" if health.ok else "engine does not answer", detail=health.detail)
            await anext(signals)
            logger.info("stopping")
