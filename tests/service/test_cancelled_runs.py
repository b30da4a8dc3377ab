"""Runs that somebody ends, at work and in the queue."""

import secrets

import anyio
import httpx2
import pytest

from service.settings import Settings
from tests.faulty_engine import FaultyEngine
from tests.git_repositories import GitRepositories
from tests.processes import STUBBORN, is_stopped, processes_of, processes_that_say, traces_of, until_at_work
from tests.service.api import (
    LIMIT_S,
    check_log,
    frames,
    service,
    start_run,
    until,
    until_printed,
    until_variation,
    view,
)
from tests.service.gates import Gates

Client = httpx2.AsyncClient


async def test_cancelled_means_that_every_process_is_gone(client: Client, git: GitRepositories):
    run_url = await start_run(client, git.make("repo"), STUBBORN, variations=3)
    await until_at_work(run_url, 3)
    response = await client.delete(run_url)
    assert response.status_code == 202
    run = await until(client, run_url)
    assert traces_of(run_url) == []
    assert run["state"] == "cancelled"
    assert [each["state"] for each in run["variations"]] == ["cancelled"] * 3
    again = await client.delete(run_url)
    assert again.status_code == 409
    assert (again.json()["code"], again.json()["state"]) == ("run.ended", "cancelled")
    log = await frames(client, run_url)
    check_log(log)
    assert log[-1].event["state"] == "cancelled"


async def test_a_cancelled_variation_keeps_what_it_made_so_far(client: Client, git: GitRepositories):
    url = git.make("repo")
    work = "case $VARIATION_ID in 0) echo done > work; exit ;; 1) echo half > work ;; esac"
    run_url = await start_run(client, url, f"{work}; echo here; sleep 1000", variations=3)
    await until_printed(client, run_url, "here", times=2)
    await until_variation(client, run_url, 0, "succeeded")
    await client.delete(run_url)
    run = await until(client, run_url, "cancelled")
    assert [each["state"] for each in run["variations"]] == ["succeeded", "cancelled", "cancelled"]
    assert [each["code"] for each in run["variations"]] == [""] * 3
    patches = [await client.get(f"{run_url}/variations/{index}/patch") for index in range(3)]
    assert [each.content for each in patches] == [
        git.patch_of(url, "echo done > work"),
        git.patch_of(url, "echo half > work"),
        b"",
    ]
    assert traces_of(run_url) == []
    check_log(await frames(client, run_url))


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3, 0.6, 1.2])
async def test_a_cancel_at_any_moment_leaves_nothing(client: Client, git: GitRepositories, after_s: float):
    run_url = await start_run(client, git.make("repo"), STUBBORN, variations=2)
    await anyio.sleep(after_s)
    await client.delete(run_url)
    await until(client, run_url, "cancelled")
    assert traces_of(run_url) == []
    await anyio.sleep(0.3)  # nothing comes to life later
    assert traces_of(run_url) == []


async def test_a_run_that_has_ended_cannot_be_cancelled(client: Client, git: GitRepositories):
    run_url = await start_run(client, git.make("repo"), "true")
    before = await until(client, run_url)
    response = await client.delete(run_url)
    assert response.status_code == 409
    assert (response.json()["code"], response.json()["state"]) == ("run.ended", "succeeded")
    assert await view(client, run_url) == before


async def test_a_run_is_cancelled_during_its_setup(client: Client, git: GitRepositories):
    mark = f"1000.{secrets.randbelow(10**15)}"
    run_url = await start_run(client, git.make("repo"), "true", setup=[f"echo here; sleep {mark}"])
    await until_printed(client, run_url, "here")
    assert processes_that_say(mark)
    assert (await client.delete(run_url)).status_code == 202
    assert (await until(client, run_url))["state"] == "cancelled"
    assert processes_that_say(mark) == []


async def test_a_cancel_that_races_with_the_end_gives_one_end(client: Client, git: GitRepositories, gates: Gates):
    url = git.make("repo")
    for attempt in range(8):
        run_url = await start_run(client, url, gates.wait(str(attempt)), variations=2)
        await until(client, run_url, "running")
        gates.open(str(attempt))
        await anyio.sleep(0.03 * attempt)
        answers: list[httpx2.Response] = []
        async with anyio.create_task_group() as tasks:

            async def cancel(run_url: str = run_url, answers: list[httpx2.Response] = answers) -> None:
                answers.append(await client.delete(run_url))

            for _ in range(2):
                tasks.start_soon(cancel)
        run = await until(client, run_url)
        check_log(await frames(client, run_url))
        for answer in answers:
            assert answer.status_code in {202, 409}
            if answer.status_code == 409:
                assert answer.json()["state"] == run["state"]
        assert run["state"] in {"cancelled", "succeeded"}
        if run["state"] == "succeeded":
            assert {each["state"] for each in run["variations"]} == {"succeeded"}


async def test_runs_beyond_the_limit_wait_their_turn_and_may_be_cancelled_there(
    client: Client, git: GitRepositories, gates: Gates
):
    url = git.make("repo")
    busy = [await start_run(client, url, gates.wait()) for _ in range(4)]
    for run_url in busy:
        await until(client, run_url, "running")
    waiting, unwanted = await start_run(client, url, "true"), await start_run(client, url, "true")
    assert (await client.delete(unwanted)).status_code == 202
    run = await until(client, unwanted)
    assert (run["state"], run["started_at"], run["commit"]) == ("cancelled", None, "")
    assert [each["state"] for each in run["variations"]] == ["cancelled"]
    check_log(await frames(client, unwanted))
    assert (await view(client, waiting))["state"] == "queued"
    gates.open()
    for run_url in [*busy, waiting]:
        assert (await until(client, run_url))["state"] == "succeeded"


async def test_a_run_that_was_cancelled_is_so_whatever_ends_it_then(
    settings: Settings, database_url: str, engine: FaultyEngine, git: GitRepositories, gates: Gates
):
    # A harness that is stopped cannot end when it is asked to: the service is stopped while it is waited for.
    async with service(settings, database_url, engine) as first:
        run_url = await start_run(first, git.make("repo"), f"{gates.wait()}; kill -STOP $PPID; sleep 1000")
        await until(first, run_url, "running")
        gates.open()
        with anyio.fail_after(LIMIT_S):
            while not any(map(is_stopped, processes_of(run_url))):  # noqa: ASYNC110 -- they are not ours
                await anyio.sleep(0.02)
        assert (await first.delete(run_url)).status_code == 202
    async with service(settings, database_url, engine) as second:
        run = await view(second, run_url)
    assert [run["state"], *(each["state"] for each in run["variations"])] == ["cancelled", "cancelled"]
    assert traces_of(run_url) == []
