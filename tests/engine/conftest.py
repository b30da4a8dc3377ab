"""The engine ring: tests against a real Dagger engine.

Where there is none they are skipped, and with AIDEATOR_REQUIRE_ENGINE=1 they fail.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path

import anyio
import dagger
import httpx2
import pytest

import agent_image
from aideator.harness import EXCLUDE, harness
from aideator.workspace import with_git
from service.engine import Health
from service.engine.dagger.engine import DaggerEngine
from service.engine.dagger.session import open_session
from service.settings import Settings
from tests.bare_engine import BareEngineError
from tests.bare_engine.host import check_machine
from tests.git_repositories import GitRepositories
from tests.own_task import in_own_task
from tests.service.api import service

ROOT = Path(__file__).parents[2]
AGENT_IMAGE = Path(agent_image.__file__).parent
IS_REQUIRED = os.environ.get("AIDEATOR_REQUIRE_ENGINE") == "1"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.engine)
        if item.get_closest_marker("bare_engine"):
            item.add_marker(pytest.mark.xdist_group("bare_engine"))  # a machine has room for one more


@pytest.fixture(scope="session")
def health(dagger_environ: dict[str, str]) -> Health:
    """The engine's health; one that answers has made beforehand what the first run would wait for."""

    async def look() -> Health:
        answer = await DaggerEngine(dagger_environ).health()
        if answer.ok:
            async with open_session(dagger_environ) as session:
                await with_git(session.client).sync()
                await harness_of(session.client).sync()
        return answer

    return anyio.run(look)


@pytest.fixture(autouse=True)
def _engine(request: pytest.FixtureRequest) -> None:
    """Leave out a test whose engine cannot be had here."""
    if request.node.get_closest_marker("bare_engine"):
        try:
            check_machine()
        except BareEngineError as error:
            _miss(f"no engine of its own can be started: {error}")
    else:
        health: Health = request.getfixturevalue("health")
        if not health.ok:
            _miss(health.detail)


def _miss(reason: str) -> None:
    if IS_REQUIRED:
        pytest.fail(f"AIDEATOR_REQUIRE_ENGINE is set, and {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def silent_url() -> Generator[str]:
    """A place on this machine where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"git://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def settings(git: GitRepositories, silent_url: str) -> Settings:
    return Settings(git_allow=f"{git.url}/,{silent_url}/", max_variations=8)


@pytest.fixture
async def http(
    settings: Settings, database_url: str, dagger_environ: dict[str, str]
) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of the service on the Dagger engine."""
    async with service(settings, database_url, DaggerEngine(dagger_environ)) as client:
        yield client


@pytest.fixture
async def client(dagger_environ: dict[str, str]) -> AsyncGenerator[dagger.Client]:
    """A session of the test's own."""
    async with in_own_task(open_session(dagger_environ)) as session:
        yield session.client


@pytest.fixture
def directory(client: dagger.Client) -> dagger.Directory:
    """The harness's directory."""
    return harness_of(client)


def harness_of(client: dagger.Client) -> dagger.Directory:
    sources = client.host().directory(str(AGENT_IMAGE), exclude=EXCLUDE)
    return harness(client, sources, (AGENT_IMAGE / "requirements.txt").read_text())


@pytest.fixture(scope="session")
def dagger_call(dagger_environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """The CLI on a copy of the module: a function of arguments that returns what it prints."""
    checkout = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "dagger.json", checkout)
    for folder in ("dagger_module", "agent_image"):
        shutil.copytree(ROOT / folder, checkout / folder, ignore=shutil.ignore_patterns("__pycache__"))

    def call(*arguments: str) -> str:
        command = [ROOT / ".venv" / "bin" / "dagger", "--silent", *arguments]
        answer = subprocess.run(
            command, cwd=checkout, env=dagger_environ, capture_output=True, text=True, timeout=300, check=False
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    return call
