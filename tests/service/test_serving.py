from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import httpx2
import pytest
from litestar import Litestar, get
from litestar.datastructures import State
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from service.eventlog import EventLog
from service.serving import ServeError, serving


@get("/crash")
async def crash(state: State) -> None:
    state["crash"].set()


@pytest.fixture
def app(database: AsyncEngine) -> Litestar:
    @asynccontextmanager
    async def at_work(app: Litestar) -> AsyncGenerator[None]:
        async def work() -> None:
            await app.state["crash"].wait()
            raise ValueError("a defect")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            yield
            tasks.cancel_scope.cancel()

    state = State({"log": EventLog(async_sessionmaker(database)), "crash": anyio.Event()})
    return Litestar([crash], lifespan=[at_work], state=state, logging_config=None)


async def test_a_service_whose_work_crashes_ends_instead_of_answering_on(app: Litestar):
    with pytest.RaisesGroup(ServeError), anyio.fail_after(10):
        async with serving(app, port=0) as url, httpx2.AsyncClient(base_url=url) as client:
            await client.get("/crash")
            await anyio.sleep_forever()


async def test_a_port_that_is_taken_is_named(app: Litestar):
    async with serving(app, port=0) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(ServeError, match=rf"port {port} cannot be had.*--port"):
            async with serving(app, port=port):
                pass
