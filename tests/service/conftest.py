"""The service on an engine that can be made to fail, on a database of the test's own."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest
from msgspec import structs

from service.engine.local.engine import LocalEngine, LocalOptions
from service.settings import Settings
from tests.faulty_engine import FaultyEngine
from tests.git_repositories import GitRepositories
from tests.service.api import service
from tests.service.gates import Gates


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path / "gates")


@pytest.fixture
def engine(tmp_path: Path, gates: Gates) -> FaultyEngine:
    return FaultyEngine(LocalEngine(LocalOptions(home=tmp_path / "local", tools=(gates.folder,))))


@pytest.fixture
def settings(git: GitRepositories) -> Settings:
    return structs.replace(Settings(), git_allow=f"https://,{git.url}/")


@pytest.fixture
async def client(settings: Settings, database_url: str, engine: FaultyEngine) -> AsyncGenerator[httpx2.AsyncClient]:
    async with service(settings, database_url, engine) as client:
        yield client
