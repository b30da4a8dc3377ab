"""Whoever ends a run, or whatever, nothing of it is left on this machine."""

import anyio
import httpx2
import pytest

from tests.engine.processes import STUBBORN, processes_of, until_at_work
from tests.git_repositories import GitRepositories
from tests.service.api import frames, start_run, until


async def test_cancelled_means_that_no_process_is_left(http: httpx2.AsyncClient, git: GitRepositories):
    run = await start_run(http, git.make("repo"), STUBBORN, variations=3)
    await until_at_work(run, 3)
    assert (await http.delete(run)).status_code == 202
    ended = await until(http, run, "cancelled")
    assert processes_of(run) == []
    assert [each["state"] for each in ended["variations"]] == ["cancelled"] * 3
    assert (await frames(http, run))[-1].event["state"] == "cancelled"
    assert (await http.delete(run)).status_code == 409


@pytest.mark.parametrize("after_s", [0.0, 0.3, 0.6, 0.9, 1.2])
async def test_a_cancel_at_any_moment_leaves_nothing(http: httpx2.AsyncClient, git: GitRepositories, after_s: float):
    run = await start_run(http, git.make("repo"), STUBBORN, variations=2)
    await anyio.sleep(after_s)
    await http.delete(run)
    await until(http, run, "cancelled")
    assert processes_of(run) == []
    await anyio.sleep(0.5)  # nothing comes to life later
    assert processes_of(run) == []


async def test_a_deadline_ends_an_agent_with_all_that_it_started(http: httpx2.AsyncClient, git: GitRepositories):
    command = f'[ "$VARIATION_ID" = 0 ] && exit; echo half-done > half-done; {STUBBORN}'
    run = await start_run(http, git.make("repo"), command, variations=2, timeout_s=4)
    ended = await until(http, run)
    assert ended["state"] == "succeeded"
    assert [each["state"] for each in ended["variations"]] == ["succeeded", "timed_out"]
    assert ended["variations"][1]["exit"] == 124
    assert b"+half-done" in (await http.get(ended["variations"][1]["patch_url"])).content
    assert processes_of(run) == []


async def test_an_agent_that_stops_its_harness_is_ended_from_outside(http: httpx2.AsyncClient, git: GitRepositories):
    command = '[ "$VARIATION_ID" = 0 ] && exit; kill -STOP $PPID; sleep 1000'
    run = await start_run(http, git.make("repo"), command, variations=2, timeout_s=2)
    ended = await until(http, run, limit_s=120)
    assert [each["state"] for each in ended["variations"]] == ["succeeded", "timed_out"]
    assert ended["variations"][1]["patch_url"] is None
    assert processes_of(run) == []


async def test_a_run_that_has_ended_leaves_no_process(http: httpx2.AsyncClient, git: GitRepositories):
    run = await start_run(http, git.make("repo"), "(setsid sh -c 'sleep 1000; :' >/dev/null 2>&1 &)")
    assert (await until(http, run))["state"] == "succeeded"
    assert processes_of(run) == []
