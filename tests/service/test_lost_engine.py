"""An engine that is lost, or down."""

import httpx2

from tests.faulty_engine import FaultyEngine
from tests.git_repositories import GitRepositories
from tests.processes import processes_of
from tests.service.api import (
    check_log,
    frames,
    of_variation,
    post_run,
    start_run,
    until,
    until_printed,
    until_variation,
)
from tests.service.gates import Gates

Client = httpx2.AsyncClient


async def test_an_engine_lost_in_mid_run_loses_the_run_with_what_it_had_and_nothing_else(
    client: Client, git: GitRepositories, engine: FaultyEngine
):
    url = git.make("repo")
    command = "echo I am $VARIATION_ID; [ $VARIATION_ID = 0 ] && exit; sleep 1000"
    run = await start_run(client, url, command, variations=3)
    await until_printed(client, run, "I am 1", "I am 2")
    await until_variation(client, run, 0, "succeeded")
    await engine.lose()
    assert processes_of(run) == []
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


async def test_a_run_of_which_all_is_lost_is_lost(client: Client, git: GitRepositories, engine: FaultyEngine):
    run = await start_run(client, git.make("repo"), "echo here; sleep 1000", variations=2)
    await until_printed(client, run, "here", times=2)
    await engine.lose()
    ended = await until(client, run)
    assert (ended["state"], ended["code"]) == ("lost", "engine.lost")
    check_log(await frames(client, run))


async def test_an_engine_that_goes_down_before_a_queued_run_s_turn_loses_that_run(
    client: Client, git: GitRepositories, engine: FaultyEngine, gates: Gates
):
    url = git.make("repo")
    busy = [await start_run(client, url, gates.wait()) for _ in range(4)]
    for run in busy:
        await until(client, run, "running")
    waiting = await start_run(client, url, "true")
    engine.down = True
    assert (await client.get("/health")).status_code == 503
    assert (await post_run(client, url)).status_code == 503
    gates.open()
    ended = await until(client, waiting)
    assert (ended["state"], ended["code"]) == ("lost", "engine.lost")
    engine.down = False
    assert (await until(client, await start_run(client, url, "true")))["state"] == "succeeded"
