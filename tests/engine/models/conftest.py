"""The service on the Dagger engine, with providers that are a fake; it has all of their keys."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx2
import pytest

from service.engine.dagger.engine import DaggerEngine
from service.settings import Settings
from tests.git_repositories import GitRepositories
from tests.mending import keys, mending_provider, settings_with
from tests.providers.fake import FakeProvider
from tests.service.api import service


@pytest.fixture
def fake() -> Generator[FakeProvider]:
    with mending_provider() as fake:
        yield fake


@pytest.fixture
def settings(git: GitRepositories, fake: FakeProvider, tmp_path: Path) -> Settings:
    return settings_with(fake, git.url, tmp_path)


@pytest.fixture
async def http(
    settings: Settings, fake: FakeProvider, database_url: str, dagger_environ: dict[str, str]
) -> AsyncGenerator[httpx2.AsyncClient]:
    async with service(settings, database_url, DaggerEngine(dagger_environ), keys(fake.key)) as client:
        yield client
