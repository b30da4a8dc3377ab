"""Whether the service can do its work, and what its engine can."""

from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.db.availability import FAILURES
from service.engine import Capabilities, Engine, Health


class EngineReport(Struct, frozen=True):
    ok: bool
    detail: str
    capabilities: Capabilities


class HealthReport(Struct, frozen=True):
    """`status` is `ok` if everything below is; the answer's HTTP status is then 200, else 503."""

    status: str
    postgres: Health
    engine: EngineReport


@get(["/health", "/healthcheck", "/api/v1/health"], tags=["health"], summary="Postgres, the engine and what it can")
async def health(database: NamedDependency[AsyncEngine], engine: NamedDependency[Engine]) -> Response[HealthReport]:
    postgres, container_engine = await _postgres(database), await engine.health()
    ok = postgres.ok and container_engine.ok
    report = HealthReport(
        status="ok" if ok else "unavailable",
        postgres=postgres,
        engine=EngineReport(container_engine.ok, container_engine.detail, engine.capabilities),
    )
    return Response(report, status_code=200 if ok else 503)


async def _postgres(database: AsyncEngine) -> Health:
    try:
        async with database.connect() as connection:
            version = await connection.scalar(text("SHOW server_version"))
    except FAILURES as error:
        return Health(ok=False, detail=f"Postgres does not answer: {str(error).splitlines()[0]}")
    return Health(ok=True, detail=f"Postgres {version}")
