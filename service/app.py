"""The composition root: everything that the service is made of is put together here, and nowhere else."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
from litestar import Litestar, Request, Response
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException, ValidationException
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from agent_image.gateway.plan import Patience
from service import errors
from service.db.availability import is_unavailable, outlast
from service.db.claims import Claim, ClaimRepository
from service.db.runs import RunRepository
from service.db.schema import migrate
from service.dispatch import Dispatcher
from service.docs import describe, docs, documentation_files, openapi_config
from service.engine import Engine
from service.eventlog import EventLog
from service.execute import Execution
from service.image_ref import ImageRefError, check_image
from service.providers import Providers
from service.repo_url import AllowEntry, parse_allow
from service.routes.health import health
from service.routes.host import this_machine
from service.routes.runs import RunController
from service.rules import Rules, read_prices
from service.settings import Settings, SettingsError

_BODY_LIMIT = 10 << 20
_MIGRATED_S = 2.0
"""Seconds that the start waits for the tables, before it goes on without: Postgres may be away for long."""


def create_app(settings: Settings, database: AsyncEngine, engine: Engine, providers: Providers) -> Litestar:
    """Wire the service; everything it talks to is passed in.

    Raises:
        SettingsError: a setting is none that could work.

    """
    sessions = async_sessionmaker(database, expire_on_commit=False)
    claims, log = ClaimRepository(sessions), EventLog(sessions)
    rules = Rules(settings=settings, allow=_allow(settings), providers=providers, prices=read_prices(settings))
    migrated = anyio.Event()
    from_database = partial(_from_database, migrated)

    def start(claim: Claim) -> Execution:
        return Execution(
            claim,
            allow=rules.allow,
            engine=engine,
            providers=providers,
            prices=rules.prices,
            patience=Patience(longest_wait_s=settings.llm_max_wait),
            claims=claims,
            log=log,
            clone_timeout_s=settings.clone_timeout,
            setup_timeout_s=settings.setup_timeout,
        )

    dispatcher = Dispatcher(max_runs=settings.max_runs, claims=claims, log=log, start=start)

    @asynccontextmanager
    async def at_work(_: Litestar) -> AsyncGenerator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_migrate_and_dispatch, database, migrated, dispatcher)
            with anyio.move_on_after(_MIGRATED_S):
                await migrated.wait()
            yield
            log.close()
            tasks.cancel_scope.cancel()

    parts = {
        "settings": settings,
        "rules": rules,
        "providers": providers,
        "database": database,
        "engine": engine,
        "runs": RunRepository(sessions),
        "log": log,
        "dispatcher": dispatcher,
    }
    app = Litestar(
        route_handlers=[RunController, health, docs, documentation_files],
        guards=[this_machine],
        lifespan=[at_work],
        dependencies={name: _provide(part) for name, part in parts.items()},
        exception_handlers={
            errors.ServiceError: errors.from_service_error,
            ValidationException: errors.from_validation,
            HTTPException: errors.from_http_error,
            DBAPIError: from_database,
            PoolTimeoutError: from_database,
            OSError: from_database,
            Exception: errors.from_bug,
        },
        openapi_config=openapi_config(settings.api_title),
        cors_config=CORSConfig(allow_origins=settings.cors_allowed()),
        request_max_body_size=_BODY_LIMIT,
        state=State({"log": log}),
        logging_config=None,
    )
    describe(app.openapi_schema)
    return app


def _allow(settings: Settings) -> tuple[AllowEntry, ...]:
    try:
        check_image(settings.agent_container_image)
        return parse_allow(settings.git_allow)
    except ImageRefError as error:
        raise SettingsError(f"AGENT_CONTAINER_IMAGE: {error}") from error
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _provide(part: Any) -> Provide:
    return Provide(lambda: part, sync_to_thread=False)


async def _migrate_and_dispatch(database: AsyncEngine, migrated: anyio.Event, dispatcher: Dispatcher) -> None:
    """Postgres may come up after us: until then requests get 503, and nothing has to be started again."""
    await outlast(lambda: migrate(database))
    migrated.set()
    await dispatcher.run()


def _from_database(
    migrated: anyio.Event, request: Request[Any, Any, Any], error: Exception
) -> Response[dict[str, Any]]:
    if migrated.is_set() and not is_unavailable(error):
        return errors.from_bug(request, error)
    unavailable = errors.UnavailableError("postgres.unavailable", "Postgres does not answer; try again in a moment")
    return errors.from_service_error(request, unavailable)
