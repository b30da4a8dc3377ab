"""Agents on models, on the local engine: ours, and the real Claude Code and Codex, on a provider that is a fake."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx2
import pytest

from service.engine.local.engine import LocalEngine, LocalOptions
from tests.git_repositories import GitRepositories
from tests.mending import AGENTS, BROKEN, check_mended, keys, mending_provider, settings_with
from tests.providers.fake import FakeProvider
from tests.service.api import service
from tests.using_mcp import check_mcp


@pytest.fixture
def fake() -> Generator[FakeProvider]:
    with mending_provider() as fake:
        yield fake


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests, so that agents are installed once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
async def http(
    git: GitRepositories, fake: FakeProvider, tmp_path: Path, home: Path, database_url: str
) -> AsyncGenerator[httpx2.AsyncClient]:
    settings = settings_with(fake, git.url, tmp_path)
    engine = LocalEngine(LocalOptions(home=home))
    async with service(settings, database_url, engine, keys(fake.key)) as client:
        yield client


async def test_every_agent_mends_a_failing_test_with_no_network_but_the_gateway(
    http: httpx2.AsyncClient, git: GitRepositories, fake: FakeProvider
):
    await check_mended(http, fake, git.make("broken", BROKEN))


async def test_every_agent_reads_and_writes_through_mcp_servers(
    http: httpx2.AsyncClient, git: GitRepositories, fake: FakeProvider
):
    await check_mcp(http, git, fake, [AGENTS[0], AGENTS[3], AGENTS[4]])
