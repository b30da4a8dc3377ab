"""An engine is killed while a run is at work on it; it is an engine of the test's own."""

import os
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import anyio
import httpx2
import pytest

from service.engine.dagger.engine import DaggerEngine
from service.settings import Settings
from tests.bare_engine import Instance, client_env, kill, start
from tests.engine.own_engine import own_engine
from tests.engine.stream import follow
from tests.git_repositories import GitRepositories
from tests.processes import STUBBORN, processes_of, until_at_work
from tests.service.api import check_log, frames, service, start_run, until

pytestmark = pytest.mark.bare_engine

DEADLINE_S = 15


@pytest.fixture
def mortal(tmp_path: Path):
    """An engine that may be killed."""
    with own_engine("mortal", tmp_path, network_cidr="10.89.0.0/16") as mortal:
        yield mortal


@pytest.fixture
async def on_mortal(mortal: Instance, settings: Settings, database_url: str) -> AsyncGenerator[httpx2.AsyncClient]:
    engine = DaggerEngine({**os.environ, **client_env(mortal)})
    async with service(settings, database_url, engine) as client:
        yield client


async def test_its_agents_end_by_themselves_and_the_service_survives(
    on_mortal: httpx2.AsyncClient, mortal: Instance, git: GitRepositories
):
    url = git.make("repo")
    # The first run on an engine waits for what the others find in its cache.
    async for _ in follow(on_mortal, await start_run(on_mortal, url, "true")):
        pass

    run = await start_run(on_mortal, url, STUBBORN, variations=2, timeout_s=DEADLINE_S)
    said: set[int] = set()
    async with aclosing(follow(on_mortal, run)) as stream:
        async for frame in stream:
            said |= {frame.data["variation_id"]} if frame.data["content"] == "at work\n" else set()
            if said == {0, 1}:
                break
    await until_at_work(run, 2)
    at_work = time.monotonic()
    kill(mortal)
    ended = await until(on_mortal, run)
    assert ended["state"] == "lost"
    assert [each["state"] for each in ended["variations"]] == ["lost"] * 2
    log = await frames(on_mortal, run)
    check_log(log)
    assert {frame.data["variation_id"] for frame in log if frame.data["content"] == "at work\n"} == {0, 1}

    assert processes_of(run), "a killed engine takes nothing with it"
    while processes_of(run):
        assert time.monotonic() - at_work < DEADLINE_S + 5
        await anyio.sleep(0.1)

    refused = await on_mortal.post("/api/v1/runs", json={"repo_url": url, "prompt": "do it"})
    assert refused.status_code == 503

    start(mortal)
    again = await until(on_mortal, await start_run(on_mortal, url, "echo new > new"))
    assert again["state"] == "succeeded"
    assert b"+new" in (await on_mortal.get(again["variations"][0]["patch_url"])).content
