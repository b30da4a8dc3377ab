"""What carries out runs, put together: queue, executions and log, whoever asks for the runs."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from agent_image.gateway.plan import Patience
from service.db.availability import outlast
from service.db.claims import Claim, ClaimRepository
from service.db.runs import RunRepository
from service.db.schema import migrate
from service.dispatch import Dispatcher
from service.engine import Engine
from service.eventlog import EventLog
from service.execute import Execution
from service.rules import Rules

_MIGRATED_S = 2.0
"""Seconds that the start waits for the tables, before it goes on without: Postgres may be away for long."""


class Worker(Struct, frozen=True, kw_only=True):
    """The parts that those who ask for runs, and look at them, have to do with."""

    rules: Rules
    engine: Engine
    database: AsyncEngine
    runs: RunRepository
    log: EventLog
    dispatcher: Dispatcher
    migrated: anyio.Event
    """Set once the database has its tables; until then nothing works."""


def make_worker(rules: Rules, database: AsyncEngine, engine: Engine) -> Worker:
    sessions = async_sessionmaker(database, expire_on_commit=False)
    claims, log, settings = ClaimRepository(sessions), EventLog(sessions), rules.settings

    def start(claim: Claim) -> Execution:
        return Execution(
            claim,
            allow=rules.allow,
            engine=engine,
            providers=rules.providers,
            prices=rules.prices,
            patience=Patience(longest_wait_s=settings.llm_max_wait),
            claims=claims,
            log=log,
            clone_timeout_s=settings.clone_timeout,
            setup_timeout_s=settings.setup_timeout,
        )

    return Worker(
        rules=rules,
        engine=engine,
        database=database,
        runs=RunRepository(sessions),
        log=log,
        dispatcher=Dispatcher(max_runs=settings.max_runs, claims=claims, log=log, start=start),
        migrated=anyio.Event(),
    )


@asynccontextmanager
async def at_work(worker: Worker) -> AsyncGenerator[None]:
    """Carry out runs; at the end, readers of the log are let go, and the runs in flight ended."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_migrate_and_dispatch, worker)
        with anyio.move_on_after(_MIGRATED_S):
            await worker.migrated.wait()
        try:
            yield
        finally:
            worker.log.close()
            tasks.cancel_scope.cancel()


async def _migrate_and_dispatch(worker: Worker) -> None:
    """Postgres may come up after us: until then nothing is asked of it, and nothing has to be started again."""
    await outlast(lambda: migrate(worker.database))
    worker.migrated.set()
    await worker.dispatcher.run()
