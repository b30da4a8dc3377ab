"""The service on an engine of processes, on a database of the test's own."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest
from msgspec import structs

from service.settings import Settings
from tests.git_repositories import GitRepositories
from tests.process_engine import ProcessEngine
from tests.service.api import service


@pytest.fixture
def engine(tmp_path: Path) -> ProcessEngine:
    folder = tmp_path / "engine"
    folder.mkdir()
    return ProcessEngine(folder)


@pytest.fixture
def settings(git: GitRepositories) -> Settings:
    return structs.replace(Settings(), git_allow=f"https://,{git.url}/")


@pytest.fixture
async def client(settings: Settings, database_url: str, engine: ProcessEngine) -> AsyncGenerator[httpx2.AsyncClient]:
    async with service(settings, database_url, engine) as client:
        yield client
