"""Whether the service can do its work, and which engine and providers it has for it."""

from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from agent_image.gateway.plan import Wire
from service.db.availability import FAILURES
from service.engine import Capabilities, Engine, Health
from service.providers import Providers


class EngineReport(Struct, frozen=True):
    name: str
    reason: str
    """Why it is this one: `AIDEATOR_ENGINE`, and where that leaves it open, what was found."""
    ok: bool
    detail: str
    capabilities: Capabilities


class ProviderReport(Struct, frozen=True):
    name: str
    wire: Wire
    has_key: bool
    """Whether there is a key, or none is wanted; a provider without one is no failure."""


class HealthReport(Struct, frozen=True):
    """`status` is `ok` if Postgres and the engine are; the answer's HTTP status is then 200, else 503."""

    status: str
    postgres: Health
    engine: EngineReport
    providers: list[ProviderReport]


@get(["/health", "/healthcheck", "/api/v1/health"], tags=["health"], summary="Postgres, the engine, the providers")
async def health(
    *,
    database: NamedDependency[AsyncEngine],
    engine: NamedDependency[Engine],
    reason: NamedDependency[str],
    providers: NamedDependency[Providers],
) -> Response[HealthReport]:
    postgres, answer = await _postgres(database), await engine.health()
    ok = postgres.ok and answer.ok
    known = [ProviderReport(each.name, each.wire, providers.has_key(each)) for each in providers.by_name.values()]
    report = HealthReport(
        status="ok" if ok else "unavailable",
        postgres=postgres,
        engine=EngineReport(engine.capabilities.name, reason, answer.ok, answer.detail, engine.capabilities),
        providers=known,
    )
    return Response(report, status_code=200 if ok else 503)


async def _postgres(database: AsyncEngine) -> Health:
    try:
        async with database.connect() as connection:
            version = await connection.scalar(text("SHOW server_version"))
    except FAILURES as error:
        return Health(ok=False, detail=f"Postgres does not answer: {str(error).splitlines()[0]}")
    return Health(ok=True, detail=f"Postgres {version}")
