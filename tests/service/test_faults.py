"""What breaks around the service, broken in earnest: its engine, its Postgres, itself."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio import to_thread
from msgspec import structs

from service.db.binaries import find_binaries
from service.db.cluster import Cluster
from service.settings import Settings
from tests.git_repositories import GitRepositories
from tests.process_engine import ProcessEngine, marked
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
    until_exists,
    view,
)
from tests.service.postgres_home import ROOT, drop_home, make_home, postmaster, query

Client = httpx2.AsyncClient

EXPIRE = "UPDATE runs SET lease_until = now() - interval '1 second' WHERE ended_at IS NULL"


# The engine


async def test_an_engine_lost_in_mid_run_loses_the_run_with_what_it_had_and_nothing_else(
    client: Client, git: GitRepositories, engine: ProcessEngine, tmp_path: Path
):
    url = git.make("repo")
    command = f"echo I am $VARIATION_ID; [ $VARIATION_ID = 0 ] && exit; touch {tmp_path}/$VARIATION_ID; sleep 1000"
    run = await start_run(client, url, command, variations=3)
    for index in (1, 2):
        await until_exists(tmp_path / str(index))
    with anyio.fail_after(20):
        while (await view(client, run))["variations"][0]["state"] != "succeeded":  # noqa: ASYNC110
            await anyio.sleep(0.02)
    await engine.lose()
    ended = await until(client, run)
    assert [each["state"] for each in ended["variations"]] == ["succeeded", "lost", "lost"]
    assert [each["code"] for each in ended["variations"]] == ["", "engine.lost", "engine.lost"]
    assert ended["state"] == "succeeded"
    assert (await client.get(ended["variations"][0]["patch_url"])).status_code == 200
    log = await frames(client, run)
    check_log(log)
    for index in range(3):
        assert f"I am {index}\n" in [event.get("text") for event in of_variation(log, index)]
    assert (await until(client, await start_run(client, url, "true")))["state"] == "succeeded"


async def test_a_run_of_which_all_is_lost_is_lost(
    client: Client, git: GitRepositories, engine: ProcessEngine, tmp_path: Path
):
    run = await start_run(client, git.make("repo"), f"touch {tmp_path}/$VARIATION_ID; sleep 1000", variations=2)
    for index in range(2):
        await until_exists(tmp_path / str(index))
    await engine.lose()
    ended = await until(client, run)
    assert (ended["state"], ended["code"]) == ("lost", "engine.lost")
    check_log(await frames(client, run))


async def test_an_engine_that_goes_down_before_a_queued_run_s_turn_loses_that_run(
    client: Client, git: GitRepositories, engine: ProcessEngine, tmp_path: Path
):
    url, go = git.make("repo"), tmp_path / "go"
    busy = [await start_run(client, url, f"until [ -e {go} ]; do sleep 0.01; done") for _ in range(4)]
    for run in busy:
        await until(client, run, "running")
    waiting = await start_run(client, url, "true")
    engine.down = True
    assert (await client.get("/health")).status_code == 503
    assert (await post_run(client, url)).status_code == 503
    go.touch()
    ended = await until(client, waiting)
    assert (ended["state"], ended["code"]) == ("lost", "engine.lost")
    engine.down = False
    assert (await until(client, await start_run(client, url, "true")))["state"] == "succeeded"


# Postgres


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
    settings: Settings, own_postgres: OwnPostgres, engine: ProcessEngine, git: GitRepositories, tmp_path: Path
):
    url, go = git.make("repo"), tmp_path / "go"
    lines = f"i=0; until [ -e {go} ]; do i=$((i+1)); echo $i; sleep 0.005; done; echo $i > {tmp_path}/count"
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
        go.touch()
        await until_exists(tmp_path / "count")
        await own_postgres.start()
        await until_healthy(client)
        assert (await until(client, run))["state"] == "succeeded"
        log = await frames(client, run)
        check_log(log)
        printed = [int(event["text"]) for event in of_variation(log, 0) if event["kind"] == "output"]
        count = int((tmp_path / "count").read_text())
        assert printed == list(range(1, count + 1))
        assert len((await client.get(RUNS)).json()["runs"]) == 1


async def test_a_viewer_whom_postgres_failed_goes_on_where_it_was(
    settings: Settings, own_postgres: OwnPostgres, engine: ProcessEngine, git: GitRepositories, tmp_path: Path
):
    go = tmp_path / "go"
    lines = f"i=0; until [ -e {go} ]; do i=$((i+1)); echo $i; sleep 0.01; done"
    quick = structs.replace(settings, heartbeat=0.2)
    async with service(quick, own_postgres.url, engine) as client:
        run = await start_run(client, git.make("repo"), lines)
        received = b""
        with anyio.fail_after(30), suppress(httpx2.RemoteProtocolError):
            async with client.stream("GET", f"{run}/stream", timeout=None) as response:
                async for chunk in response.aiter_raw():
                    received += chunk
                    if b'"output"' in received and not go.exists():
                        await own_postgres.stop()
                        go.touch()
        await own_postgres.start()
        await until_healthy(client)
        await until(client, run)
        seen = log_of(received[: received.rfind(b"\n\n") + 2])
        rest = await stream(client, run, after=parse(seen)[-1].id)
        assert parse(rest)
        assert seen + rest == await stream(client, run)


async def test_a_service_that_starts_before_its_postgres_connects_when_it_comes(
    settings: Settings, own_postgres: OwnPostgres, engine: ProcessEngine, git: GitRepositories
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


# The service itself


@asynccontextmanager
async def lone_service(database_url: str, git: GitRepositories, folder: Path) -> AsyncGenerator[tuple[Client, int]]:
    """A service as a process of its own: a client of it, and its process id."""
    folder.mkdir()  # noqa: ASYNC240
    command = [sys.executable, "-m", "tests.service.lone_service", database_url, f"https://,{git.url}/", str(folder)]
    process = await anyio.open_process(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        with anyio.fail_after(30):
            url = (await process.stdout.receive()).decode().strip()
        async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
            yield client, process.pid
    finally:
        process.kill()
        with anyio.CancelScope(shield=True):
            await process.aclose()


async def test_a_killed_service_loses_no_event_and_the_next_one_ends_its_runs(
    settings: Settings, database_url: str, engine: ProcessEngine, git: GitRepositories, tmp_path: Path
):
    url = git.make("repo")
    received = b""
    async with lone_service(database_url, git, tmp_path / "lone") as (first, pid):
        command = "[ $VARIATION_ID = 0 ] && exit; i=0; while :; do i=$((i+1)); echo $i; sleep 0.005; done"
        run = await start_run(first, url, command, variations=3)
        with anyio.fail_after(30):
            while (await view(first, run))["variations"][0]["state"] != "succeeded":  # noqa: ASYNC110
                await anyio.sleep(0.02)
            try:
                async with first.stream("GET", f"{run}/stream") as response:
                    async for chunk in response.aiter_raw():
                        received += chunk
                        if received.count(b'"output"') >= 100:
                            os.kill(pid, signal.SIGKILL)
            except (httpx2.RemoteProtocolError, httpx2.ReadError):
                pass
    mark = f"RUN_ID={run.rpartition('/')[2]}"
    with anyio.fail_after(20):
        while marked(mark):  # noqa: ASYNC110 -- a harness to which nobody listens ends
            await anyio.sleep(0.02)
    await query(database_url, EXPIRE)
    async with service(settings, database_url, engine) as second:
        ended = await until(second, run)
        assert [each["state"] for each in ended["variations"]] == ["succeeded", "lost", "lost"]
        assert [each["code"] for each in ended["variations"]] == ["", "service.lost", "service.lost"]
        assert ended["state"] == "succeeded"
        whole = await stream(second, run)
        check_log(parse(whole))
        assert whole.startswith(received[: received.rfind(b"\n\n") + 2])
        assert {frame.data["variation_id"] for frame in parse(whole) if frame.name == "agent_complete"} == {0, 1, 2}
        assert (await until(second, await start_run(second, url, "true")))["state"] == "succeeded"


async def test_a_service_that_wakes_up_too_late_writes_nothing_more(
    settings: Settings, database_url: str, engine: ProcessEngine, git: GitRepositories, tmp_path: Path
):
    lines = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.005; done"
    async with lone_service(database_url, git, tmp_path / "lone") as (first, pid):
        run = await start_run(first, git.make("repo"), lines, variations=2)
        await until(first, run, "running")
        os.kill(pid, signal.SIGSTOP)
        await query(database_url, EXPIRE)
        async with service(settings, database_url, engine) as second:
            ended = await until(second, run)
            assert (ended["state"], ended["code"]) == ("lost", "service.lost")
            before = await stream(second, run)
            os.kill(pid, signal.SIGCONT)
            with anyio.fail_after(30):
                while marked(f"RUN_ID={run.rpartition('/')[2]}"):  # noqa: ASYNC110
                    await anyio.sleep(0.02)
            assert await stream(second, run) == before
            assert await view(second, run) == ended
            check_log(parse(log_of(before)))
            assert (await first.get("/health")).status_code == 200
            assert await view(first, run) == ended


async def test_a_run_that_waits_outlives_a_killed_service(
    settings: Settings, database_url: str, engine: ProcessEngine, git: GitRepositories, tmp_path: Path
):
    url = git.make("repo")
    async with lone_service(database_url, git, tmp_path / "lone") as (first, pid):
        busy = [await start_run(first, url, "sleep 1000") for _ in range(4)]
        for run in busy:
            await until(first, run, "running")
        waiting = await start_run(first, url, "true")
        os.kill(pid, signal.SIGKILL)
    await query(database_url, EXPIRE)
    async with service(settings, database_url, engine) as second:
        assert (await until(second, waiting))["state"] == "succeeded"
        for run in busy:
            assert (await until(second, run))["state"] == "lost"
            for pid in marked(f"RUN_ID={run.rpartition('/')[2]}"):
                os.kill(pid, signal.SIGKILL)  # they sleep, and have nothing to print


async def test_a_queued_run_that_the_operator_no_longer_allows_fails_and_the_service_lives(
    settings: Settings, database_url: str, engine: ProcessEngine, git: GitRepositories, tmp_path: Path
):
    url, go = git.make("repo"), tmp_path / "go"
    async with service(settings, database_url, engine) as client:
        busy = [await start_run(client, url, f"until [ -e {go} ]; do sleep 0.01; done") for _ in range(4)]
        for run in busy:
            await until(client, run, "running")
        waiting = await start_run(client, url, "true")
    async with service(Settings(), database_url, engine) as client:
        ended = await until(client, waiting)
        assert (ended["state"], ended["code"]) == ("failed", "repo_url.scheme")
        assert (await client.get("/health")).status_code == 200
