"""The service on the Dagger engine, with providers that are a fake; it has all of their keys."""

import secrets
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx2
import pytest

from service.engine.dagger import DaggerEngine
from service.settings import Settings
from tests.engine.mending import MEND, NEEDLE, keys
from tests.git_repositories import GitRepositories
from tests.providers.fake import FakeProvider, fake_provider
from tests.service.api import service


@pytest.fixture
def fake() -> Generator[FakeProvider]:
    with fake_provider(MEND, key=f"sk-{NEEDLE}{secrets.token_urlsafe(24)}") as fake:
        yield fake


@pytest.fixture
def settings(git: GitRepositories, fake: FakeProvider, tmp_path: Path) -> Settings:
    responses = tmp_path / "providers.toml"
    responses.write_text(f'[openai]\nwire = "responses"\nbase_url = "{fake.url}/v1"\n')
    return Settings(
        git_allow=f"{git.url}/",
        max_variations=8,
        providers_file=str(responses),
        anthropic_base_url=fake.url,
        gpt_oss_url=f"{fake.url}/v1",
    )


@pytest.fixture
async def http(
    settings: Settings, fake: FakeProvider, database_url: str, dagger_environ: dict[str, str]
) -> AsyncGenerator[httpx2.AsyncClient]:
    async with service(settings, database_url, DaggerEngine(dagger_environ), keys(fake.key)) as client:
        yield client
