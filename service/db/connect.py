"""The database that the settings name, or one of our own."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.db.embedded import embedded_postgres
from service.settings import SettingsError

_CONNECT_S = 5
_STATEMENT_S = 10
_IDLE_S = 15
"""After which Postgres ends a transaction in which nothing is said: a process that was paused must not hold a row."""


@asynccontextmanager
async def connected(database_url: str) -> AsyncGenerator[AsyncEngine]:
    """Open a pool of connections to `database_url`; where it is empty, to a Postgres that runs as long as this does.

    Postgres need not be there yet: each statement finds out for itself, and a connection that has died is replaced.

    Raises:
        SettingsError: `database_url` is none.
        EmbeddedPostgresError: there is no Postgres of our own to be had.

    """
    if database_url:
        async with _pool(database_url) as database:
            yield database
    else:
        async with embedded_postgres() as own_url, _pool(own_url) as database:
            yield database


@asynccontextmanager
async def _pool(database_url: str) -> AsyncGenerator[AsyncEngine]:
    try:
        url = make_url(database_url)
    except ArgumentError as error:  # whose text may have the password
        raise SettingsError("DATABASE_URL: it should be postgresql://user:password@host/database") from error
    database = create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        pool_size=10,
        max_overflow=0,
        pool_timeout=_CONNECT_S,
        pool_pre_ping=True,
        connect_args={
            "timeout": _CONNECT_S,
            "command_timeout": _STATEMENT_S,
            "server_settings": {"idle_in_transaction_session_timeout": f"{_IDLE_S}s"},
        },
    )
    try:
        yield database
    finally:
        with anyio.move_on_after(_CONNECT_S, shield=True):
            await database.dispose()
