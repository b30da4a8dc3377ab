import anyio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.db.models import Base
from service.db.schema import migrate


def difference(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))


async def test_migrations_make_the_tables_that_the_models_describe(database: AsyncEngine):
    async with database.connect() as connection:
        assert await connection.run_sync(difference) == []


async def test_migrating_again_changes_nothing(database: AsyncEngine):
    async with database.begin() as connection:
        await connection.execute(text("CREATE TABLE witness AS SELECT 1 AS one"))
    await migrate(database)
    async with database.connect() as connection:
        assert await connection.scalar(text("SELECT one FROM witness")) == 1
        assert await connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1


async def test_services_that_start_together_migrate_one_after_the_other(database_url: str):
    engines = [create_async_engine(database_url) for _ in range(4)]
    async with anyio.create_task_group() as tasks:
        for engine in engines:
            tasks.start_soon(migrate, engine)
    for engine in engines:
        await engine.dispose()
