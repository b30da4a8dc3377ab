"""A Postgres that is stopped, and comes back."""

import os
import signal
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio import to_thread
from msgspec import structs

from service.db.binaries import find_binaries
from service.db.cluster import Cluster
from service.settings import Settings
from tests.faulty_engine import FaultyEngine
from tests.git_repositories import GitRepositories
from tests.service.api import (
    RUNS,
    check_log,
    frames,
    log_of,
    of_variation,
    parse,
    post_run,
    service,
    start_run,
    stream,
    until,
    until_gone,
    whole,
)
from tests.service.gates import Gates
from tests.service.postgres_home import drop_home, make_home, postmaster

Client = httpx2.AsyncClient


class OwnPostgres:
    """A server that the test may stop."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._cluster = Cluster(home, find_binaries())

    @property
    def url(self) -> str:
        return self._cluster.url()

    async def start(self) -> None:
        await to_thread.run_sync(self._cluster.start)

    async def stop(self) -> None:
        """As `pg_ctl stop -m immediate`: connections are cut, nothing is written any more."""
        server = postmaster(self._home)
        os.kill(server, signal.SIGQUIT)
        with anyio.fail_after(20):
            while Path(f"/proc/{server}").exists():  # noqa: ASYNC110, ASYNC240
                await anyio.sleep(0.01)


@pytest.fixture
def own_postgres() -> Generator[OwnPostgres]:
    home = make_home()
    postgres = OwnPostgres(home)
    Cluster(home, find_binaries()).start()
    yield postgres
    drop_home(home)


async def until_healthy(client: Client) -> None:
    with anyio.fail_after(30):
        while (await client.get("/health")).status_code != 200:  # noqa: ASYNC110
            await anyio.sleep(0.05)


async def test_while_postgres_is_away_requests_wait_for_another_day_and_runs_lose_nothing(
    settings: Settings, own_postgres: OwnPostgres, engine: FaultyEngine, git: GitRepositories, gates: Gates
):
    url = git.make("repo")
    lines = f"i=0; until {gates.is_open()}; do i=$((i+1)); echo $i; sleep 0.005; done; echo $i"
    async with service(settings, own_postgres.url, engine) as client:
        run = await start_run(client, url, lines)
        await until(client, run, "running")
        await own_postgres.stop()
        for method, path in [("GET", RUNS), ("GET", run), ("GET", f"{run}/stream"), ("DELETE", run)]:
            response = await client.request(method, path)
            assert (response.status_code, response.json()["code"]) == (503, "postgres.unavailable"), path
            assert int(response.headers["retry-after"]) > 0
        assert (await post_run(client, url)).json()["code"] == "postgres.unavailable"
        health = await client.get("/health")
        assert (health.status_code, health.json()["postgres"]["ok"], health.json()["engine"]["ok"]) == (
            503,
            False,
            True,
        )
        gates.open()
        await until_gone(run)
        await own_postgres.start()
        await until_healthy(client)
        assert (await until(client, run))["state"] == "succeeded"
        log = await frames(client, run)
        check_log(log)
        printed = [int(event["text"]) for event in of_variation(log, 0) if event["kind"] == "output"]
        *printed, last = printed
        assert printed == list(range(1, last + 1))
        assert len((await client.get(RUNS)).json()["runs"]) == 1


async def test_a_viewer_whom_postgres_failed_goes_on_where_it_was(
    settings: Settings, own_postgres: OwnPostgres, engine: FaultyEngine, git: GitRepositories, gates: Gates
):
    lines, has_stopped = f"i=0; until {gates.is_open()}; do i=$((i+1)); echo $i; sleep 0.01; done", False
    quick = structs.replace(settings, heartbeat=0.2)
    async with service(quick, own_postgres.url, engine) as client:
        run = await start_run(client, git.make("repo"), lines)
        received = b""
        with anyio.fail_after(30), suppress(httpx2.RemoteProtocolError):
            async with client.stream("GET", f"{run}/stream", timeout=None) as response:
                async for chunk in response.aiter_raw():
                    received += chunk
                    if b'"output"' in received and not has_stopped:
                        await own_postgres.stop()
                        gates.open()
                        has_stopped = True
        await own_postgres.start()
        await until_healthy(client)
        await until(client, run)
        seen = log_of(whole(received))
        rest = await stream(client, run, after=parse(seen)[-1].id)
        assert parse(rest)
        assert seen + rest == await stream(client, run)


async def test_a_service_that_starts_before_its_postgres_connects_when_it_comes(
    settings: Settings, own_postgres: OwnPostgres, engine: FaultyEngine, git: GitRepositories
):
    url = git.make("repo")
    await own_postgres.stop()
    async with service(settings, own_postgres.url, engine) as client:
        assert (await client.get("/health")).status_code == 503
        assert (await post_run(client, url)).status_code == 503
        await own_postgres.start()
        await until_healthy(client)
        with anyio.fail_after(20):
            while (response := await post_run(client, url, "true")).status_code == 503:  # noqa: ASYNC110
                await anyio.sleep(0.05)
        assert (await until(client, response.json()["status_url"]))["state"] == "succeeded"
