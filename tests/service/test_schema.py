from uuid import UUID, uuid4

import anyio
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from service.db.models import Base
from service.db.runs import RunRepository
from service.db.schema import configuration, migrate


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


OLD_RUN = """
    INSERT INTO runs (id, state, code, detail, repo_url, ref, commit, prompt, agent, model, command, setup, image,
                      timeout_s, fence, last_seq)
    VALUES (:id, 'succeeded', '', '', 'https://x.test/y', '', '', 'x', :agent, 'scripted', :command, '{make}', 'i',
            1, 1, 1)
"""
OLD_VARIATION = """
    INSERT INTO variations (run_id, index, state, code, detail, patch, patch_bytes)
    VALUES (:id, :index, 'succeeded', '', '', 'p', 1)
"""


def old_run(connection: Connection, agent: str, line: str, variations: int) -> UUID:
    run_id = uuid4()
    connection.execute(text(OLD_RUN), {"id": run_id, "agent": agent, "command": line})
    connection.execute(text(OLD_VARIATION), [{"id": run_id, "index": index} for index in range(variations)])
    return run_id


async def test_runs_of_the_first_version_keep_their_agents(database: AsyncEngine):
    async with database.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(configuration(sync), "0001"))
        builtin = await connection.run_sync(old_run, "builtin", "", 2)
        own = await connection.run_sync(old_run, "command", "make all", 1)
    await migrate(database)
    runs = RunRepository(async_sessionmaker(database))
    found = await runs.get(builtin)
    assert [(each.agent, each.model, each.patch_bytes) for each in found.variations] == [("builtin", "scripted", 1)] * 2
    assert (found.setup, found.budget, found.mcp_servers, found.usage) == (["make"], None, {}, None)
    (variation,) = (await runs.get(own)).variations
    assert (variation.agent, variation.model, variation.command) == ("command", "", "make all")
    assert (variation.temperature, variation.prompt_suffix, variation.usage) == (None, "", None)


async def test_going_back_to_the_first_version_keeps_the_runs(database: AsyncEngine):
    async with database.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(configuration(sync), "0001"))
        await connection.run_sync(old_run, "command", "make all", 2)
        before = (await connection.execute(text("SELECT * FROM runs"))).mappings().one()
    await migrate(database)
    async with database.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(configuration(sync), "0001"))
    async with database.connect() as connection:
        assert (await connection.execute(text("SELECT * FROM runs"))).mappings().one() == before
        assert await connection.scalar(text("SELECT count(*) FROM variations")) == 2
