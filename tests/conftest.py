"""What tests of all rings share: a Postgres, a database for each test, a git server, and which engine there is."""

import os
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from uuid import uuid4

import pytest
from anyio.from_thread import start_blocking_portal
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.db.embedded import embedded_postgres
from service.db.schema import migrate
from service.engine.dagger.place import client_environ
from tests.git_repositories import GitRepositories, git_repositories
from tests.service.postgres_home import drop_home, make_home

ROOT = Path(__file__).parents[1]

pytest.register_assert_rewrite("tests.contract", "tests.using_mcp", "tests.mending", "tests.service.api")


@pytest.fixture(scope="session")
def postgres_url() -> Generator[str]:
    """A Postgres for the whole session; `DATABASE_URL` where it is set, else one of our own."""
    if os.environ.get("DATABASE_URL"):
        yield os.environ["DATABASE_URL"]
        return
    home = make_home()
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(embedded_postgres(home)) as url:
        yield url
    drop_home(home)


@pytest.fixture
async def database_url(postgres_url: str) -> AsyncGenerator[str]:
    """An empty database of the test's own."""
    name = f"test_{uuid4().hex}"
    server = create_async_engine(
        make_url(postgres_url).set(drivername="postgresql+asyncpg"), isolation_level="AUTOCOMMIT"
    )
    async with server.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    yield server.url.set(database=name).render_as_string(hide_password=False)
    async with server.connect() as connection:
        await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    await server.dispose()


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[AsyncEngine]:
    """The same with the tables in it."""
    engine = create_async_engine(database_url)
    await migrate(engine)
    yield engine
    await engine.dispose()


@pytest.fixture
def git(tmp_path_factory: pytest.TempPathFactory) -> Generator[GitRepositories]:
    """Repositories of the test's own, and the server that serves them."""
    with git_repositories(tmp_path_factory.mktemp("git")) as repositories:
        yield repositories


@pytest.fixture(scope="session")
def dagger_environ() -> dict[str, str]:
    """The environment of a client of the Dagger engine that there is."""
    return client_environ(os.environ, ROOT)
