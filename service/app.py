"""The HTTP application: the worker that carries out runs, and the routes to it, are put together here."""

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
from sqlalchemy.ext.asyncio import AsyncEngine

from service import problems
from service.db.availability import is_unavailable
from service.docs import describe, docs, documentation_files, openapi_config
from service.engine import Engine
from service.errors import ServiceError, UnavailableError
from service.providers import Providers
from service.routes.health import health
from service.routes.host import this_machine
from service.routes.runs import RunController
from service.rules import read_rules
from service.settings import Settings
from service.worker import at_work, make_worker

_BODY_LIMIT = 10 << 20


def create_app(
    settings: Settings, database: AsyncEngine, engine: Engine, providers: Providers, *, reason: str = ""
) -> Litestar:
    """Wire the service; everything it talks to is passed in. `reason` is why it has this engine, for `/health`.

    Raises:
        SettingsError: a setting is none that could work.

    """
    worker = make_worker(read_rules(settings, providers, engine.capabilities), database, engine)
    from_database = partial(_from_database, worker.migrated)

    @asynccontextmanager
    async def working(_: Litestar) -> AsyncGenerator[None]:
        async with at_work(worker):
            yield

    parts = {
        "settings": settings,
        "rules": worker.rules,
        "providers": providers,
        "database": database,
        "engine": engine,
        "reason": reason,
        "runs": worker.runs,
        "log": worker.log,
        "dispatcher": worker.dispatcher,
    }
    app = Litestar(
        route_handlers=[RunController, health, docs, documentation_files],
        guards=[this_machine],
        lifespan=[working],
        dependencies={name: _provide(part) for name, part in parts.items()},
        exception_handlers={
            ServiceError: problems.from_service_error,
            ValidationException: problems.from_validation,
            HTTPException: problems.from_http_error,
            DBAPIError: from_database,
            PoolTimeoutError: from_database,
            OSError: from_database,
            Exception: problems.from_bug,
        },
        openapi_config=openapi_config(settings.api_title),
        cors_config=CORSConfig(allow_origins=settings.cors_allowed()),
        request_max_body_size=_BODY_LIMIT,
        state=State({"log": worker.log}),
        logging_config=None,
    )
    describe(app.openapi_schema)
    return app


def _provide(part: Any) -> Provide:
    return Provide(lambda: part, sync_to_thread=False)


def _from_database(
    migrated: anyio.Event, request: Request[Any, Any, Any], error: Exception
) -> Response[dict[str, Any]]:
    if migrated.is_set() and not is_unavailable(error):
        return problems.from_bug(request, error)
    unavailable = UnavailableError("postgres.unavailable", "Postgres does not answer; try again in a moment")
    return problems.from_service_error(request, unavailable)
