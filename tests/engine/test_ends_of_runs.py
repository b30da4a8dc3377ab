"""Whoever ends a run, or whatever, nothing of it is left on this machine."""

import httpx2

from tests.git_repositories import GitRepositories
from tests.processes import STUBBORN, processes_of, until_at_work
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


async def test_a_deadline_ends_an_agent_with_all_that_it_started(http: httpx2.AsyncClient, git: GitRepositories):
    command = f'[ "$VARIATION_ID" = 0 ] && exit; echo half-done > half-done; {STUBBORN}'
    run = await start_run(http, git.make("repo"), command, variations=2, timeout_s=4)
    ended = await until(http, run)
    assert ended["state"] == "succeeded"
    assert [each["state"] for each in ended["variations"]] == ["succeeded", "timed_out"]
    assert ended["variations"][1]["exit"] == 124
    assert b"+half-done" in (await http.get(ended["variations"][1]["patch_url"])).content
    assert processes_of(run) == []
