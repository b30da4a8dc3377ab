"""A service that is killed, or stopped for too long."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2

from service.settings import Settings
from tests.faulty_engine import FaultyEngine
from tests.git_repositories import GitRepositories
from tests.service.api import (
    check_log,
    log_of,
    parse,
    service,
    start_run,
    stream,
    until,
    until_gone,
    until_variation,
    view,
    whole,
)
from tests.service.gates import Gates
from tests.service.postgres_home import ROOT, query

Client = httpx2.AsyncClient

EXPIRE = "UPDATE runs SET lease_until = now() - interval '1 second' WHERE ended_at IS NULL"


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
    settings: Settings, database_url: str, engine: FaultyEngine, git: GitRepositories, tmp_path: Path
):
    url = git.make("repo")
    received = b""
    async with lone_service(database_url, git, tmp_path / "lone") as (first, pid):
        command = "[ $VARIATION_ID = 0 ] && exit; i=0; while :; do i=$((i+1)); echo $i; sleep 0.005; done"
        run = await start_run(first, url, command, variations=3)
        await until_variation(first, run, 0, "succeeded")
        with anyio.fail_after(30):
            try:
                async with first.stream("GET", f"{run}/stream") as response:
                    async for chunk in response.aiter_raw():
                        received += chunk
                        if received.count(b'"output"') >= 100:
                            os.kill(pid, signal.SIGKILL)
            except (httpx2.RemoteProtocolError, httpx2.ReadError):
                pass
    await until_gone(run)
    await query(database_url, EXPIRE)
    async with service(settings, database_url, engine) as second:
        ended = await until(second, run)
        assert [each["state"] for each in ended["variations"]] == ["succeeded", "lost", "lost"]
        assert [each["code"] for each in ended["variations"]] == ["", "service.lost", "service.lost"]
        assert ended["state"] == "succeeded"
        log = await stream(second, run)
        check_log(parse(log))
        assert log.startswith(whole(received))
        assert {frame.data["variation_id"] for frame in parse(log) if frame.name == "agent_complete"} == {0, 1, 2}
        assert (await until(second, await start_run(second, url, "true")))["state"] == "succeeded"


async def stop(pid: int, database_url: str) -> None:
    """Stop a service between two transactions, or others would wait for its locks, and let its lease expire."""
    expire_unlocked = f"{EXPIRE} AND id IN (SELECT id FROM runs FOR UPDATE SKIP LOCKED) RETURNING 1"
    with anyio.fail_after(30):
        os.kill(pid, signal.SIGSTOP)
        while not await query(database_url, expire_unlocked):
            os.kill(pid, signal.SIGCONT)
            await anyio.sleep(0.01)
            os.kill(pid, signal.SIGSTOP)


async def test_a_service_that_wakes_up_too_late_writes_nothing_more(
    settings: Settings, database_url: str, engine: FaultyEngine, git: GitRepositories, tmp_path: Path
):
    lines = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.005; done"
    async with lone_service(database_url, git, tmp_path / "lone") as (first, pid):
        run = await start_run(first, git.make("repo"), lines, variations=2)
        await until(first, run, "running")
        await stop(pid, database_url)
        async with service(settings, database_url, engine) as second:
            ended = await until(second, run)
            assert (ended["state"], ended["code"]) == ("lost", "service.lost")
            before = await stream(second, run)
            os.kill(pid, signal.SIGCONT)
            await until_gone(run)
            assert await stream(second, run) == before
            assert await view(second, run) == ended
            check_log(parse(log_of(before)))
            assert (await first.get("/health")).status_code == 200
            assert await view(first, run) == ended


async def test_a_run_that_waits_outlives_a_killed_service(
    settings: Settings, database_url: str, engine: FaultyEngine, git: GitRepositories, tmp_path: Path
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
            await until_gone(run)


async def test_a_queued_run_that_the_operator_no_longer_allows_fails_and_the_service_lives(
    settings: Settings, database_url: str, engine: FaultyEngine, git: GitRepositories, gates: Gates
):
    url = git.make("repo")
    async with service(settings, database_url, engine) as client:
        busy = [await start_run(client, url, gates.wait()) for _ in range(4)]
        for run in busy:
            await until(client, run, "running")
        waiting = await start_run(client, url, "true")
    async with service(Settings(), database_url, engine) as client:
        ended = await until(client, waiting)
        assert (ended["state"], ended["code"]) == ("failed", "repo_url.scheme")
        assert (await client.get("/health")).status_code == 200
