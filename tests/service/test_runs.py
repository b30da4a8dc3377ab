import re
from collections import Counter
from datetime import datetime

import anyio
import httpx2
import pytest

from tests.git_repositories import FILES, GitRepositories
from tests.service.api import (
    RUNS,
    check_log,
    frames,
    log_of,
    of_variation,
    parse,
    post_run,
    start_run,
    stream,
    until,
    view,
)

Client = httpx2.AsyncClient

DIFFERENT_ENDS = """
echo "I am $VARIATION_ID"
case $VARIATION_ID in
0) echo mended > src/main.py ;;
1) exit 3 ;;
2) sleep 1000 ;;
3) kill -9 $PPID; sleep 1000 ;;
4) ;;
esac
"""


async def test_a_run_goes_from_a_request_to_a_patch_that_applies(client: Client, git: GitRepositories):
    url = git.make("repo")
    body = {"repo_url": url, "prompt": "look around", "variations": 2}
    response = await client.post(RUNS, json=body)
    assert response.status_code == 202
    accepted = response.json()
    assert accepted == {
        "run_id": accepted["run_id"],
        "stream_url": f"{RUNS}/{accepted['run_id']}/stream",
        "status_url": f"{RUNS}/{accepted['run_id']}",
    }
    run = await until(client, accepted["status_url"])
    assert run["state"] == "succeeded"
    assert run["commit"] == git.git("repo", "rev-parse", "HEAD").decode().strip()
    assert (run["repo_url"], run["prompt"], run["budget"], run["usage"]) == (url, "look around", None, None)
    assert datetime.fromisoformat(run["created_at"]) <= datetime.fromisoformat(run["started_at"])
    patches: list[bytes] = []
    for each in run["variations"]:
        assert (each["state"], each["exit"], each["no_changes"], each["code"]) == ("succeeded", 0, False, "")
        assert (each["agent"], each["model"], each["usage"]) == ("builtin", "scripted", None)
        patch = await client.get(each["patch_url"])
        assert patch.headers["content-type"].startswith("text/x-patch")
        assert len(patch.content) == each["patch_bytes"]
        patches.append(patch.content)
        assert f"AIDEATOR-{each['variation_id']}.md".encode() in patch.content
    assert patches[0] != patches[1]


async def test_variations_end_each_in_its_own_way_and_the_run_succeeds_if_one_does(
    client: Client, git: GitRepositories
):
    run_url = await start_run(client, git.make("repo"), DIFFERENT_ENDS, variations=5, timeout_s=3)
    run = await until(client, run_url)
    seen = [(each["state"], each["exit"], each["code"]) for each in run["variations"]]
    assert seen == [
        ("succeeded", 0, ""),
        ("failed", 3, "agent.gave_up"),
        ("timed_out", 124, "agent.timed_out"),
        ("failed", 137, "agent.crashed"),
        ("succeeded", 0, ""),
    ]
    assert [each["patch_bytes"] for each in run["variations"]][1:] == [0, 0, None, 0]
    assert [each["no_changes"] for each in run["variations"]] == [False, False, False, False, True]
    assert (run["state"], run["code"]) == ("succeeded", "")
    log = await frames(client, run_url)
    check_log(log)
    for index in (0, 1, 2, 4):  # whoever is killed may not have read what its command printed
        outputs = [event["text"] for event in of_variation(log, index) if event["kind"] == "output"]
        assert f"I am {index}\n" in outputs


async def test_a_run_of_which_nothing_succeeds_says_why(client: Client, git: GitRepositories):
    run = await until(client, await start_run(client, git.make("repo"), "sleep 1000", variations=2, timeout_s=0.5))
    assert (run["state"], run["code"]) == ("timed_out", "agent.timed_out")
    run = await until(client, await start_run(client, git.make("again"), "exit 1", variations=2))
    assert (run["state"], run["code"]) == ("failed", "agent.gave_up")


async def test_frames_have_the_format_that_was_agreed(client: Client, git: GitRepositories):
    run_url = await start_run(client, git.make("repo"), "echo hello", setup=["echo preparing"], variations=2)
    log = await frames(client, run_url)
    check_log(log)
    run_id = run_url.rpartition("/")[2]
    for seq, frame in enumerate(log, 1):
        assert frame.id == f"1-{seq}"
        assert list(frame.data) == ["run_id", "seq", "variation_id", "type", "content", "timestamp", "event"]
        assert (frame.data["run_id"], frame.data["seq"]) == (run_id, seq)
        assert datetime.fromisoformat(frame.data["timestamp"]).tzinfo is not None
        assert frame.data["type"] == frame.event["kind"]
        assert isinstance(frame.data["content"], str)
    kinds = Counter((frame.name, frame.data["variation_id"], frame.data["type"]) for frame in log)
    assert kinds[("run_output", None, "output")] == 1
    assert kinds[("run_status", None, "state_changed")] == 2
    assert kinds[("run_complete", None, "state_changed")] == 1
    for index in range(2):
        events = of_variation(log, index)
        assert [event["n"] for event in events] == list(range(1, len(events) + 1))
        assert [event["kind"] for event in events] == ["started", "output", "finished"]
        assert kinds[("agent_complete", index, "state_changed")] == 1
    states = [
        frame.event["state"] for frame in log if frame.name == "run_status" and frame.data["variation_id"] is None
    ]
    assert states == ["starting", "running"]
    assert {frame.name for frame in log} == {
        "run_status", "run_output", "agent_output", "agent_complete", "run_complete",
    }  # fmt: skip


async def test_what_a_clone_fails_of_is_told(client: Client, git: GitRepositories):
    url, empty = git.make("repo"), git.make("empty", {})
    for asked, ref, code in [
        (f"{git.url}/nothing", "", "clone.not_found"),
        (url, "nothing", "clone.ref"),
        (empty, "", "clone.empty"),
    ]:
        with anyio.fail_after(10):
            run = await until(client, await start_run(client, asked, ref=ref, variations=2))
        assert (run["state"], run["code"]) == ("failed", code)
        assert [each["state"] for each in run["variations"]] == ["cancelled", "cancelled"]
        check_log(await frames(client, run["status_url"]))


async def test_a_setup_that_fails_ends_the_run_and_shows_its_output(client: Client, git: GitRepositories):
    run_url = await start_run(client, git.make("repo"), "true", setup=["echo before", "echo no; exit 4"])
    run = await until(client, run_url)
    assert (run["state"], run["code"]) == ("failed", "setup.failed")
    outputs = [frame.data["content"] for frame in await frames(client, run_url) if frame.data["type"] == "output"]
    assert outputs == ["before\n", "no\n"]


async def test_the_agent_gets_the_prompt_as_it_was_sent(client: Client, git: GitRepositories):
    prompt = "{} %s ${x} {{7*7}} 'q' \"d\" `id` \\n é\n\tthe end "
    run_url = await start_run(client, git.make("repo"), 'printf %s "$PROMPT"', prompt=prompt)
    outputs = [frame.data["content"] for frame in await frames(client, run_url) if frame.data["type"] == "output"]
    assert "".join(outputs) == prompt


@pytest.mark.parametrize("letter", ["x", "é", "€"])
async def test_the_longest_prompt_that_is_taken_reaches_the_agent(client: Client, git: GitRepositories, letter: str):
    url, prompt = git.make("repo"), letter * 100_000
    while (response := await post_run(client, url, 'printf %s "$PROMPT" | wc -c', prompt=prompt)).is_error:
        assert response.json()["field"] == "prompt"
        prompt = prompt[: len(prompt) // 2]
    run = await until(client, response.json()["status_url"])
    assert run["state"] == "succeeded", run
    outputs = [frame.data["content"] for frame in await frames(client, run["status_url"])]
    assert f"{len(prompt.encode())}\n" in outputs


async def test_the_first_aideator_s_body_starts_the_same_run(client: Client, git: GitRepositories):
    body = {
        "github_url": git.make("repo"),
        "prompt": "do it",
        "variations": 1,
        "agent_config": {"model": "scripted", "temperature": 0.7},
        "use_claude_code": False,
    }
    response = await client.post(RUNS, json=body)
    assert response.status_code == 202, response.text
    run = await until(client, response.json()["status_url"])
    (only,) = run["variations"]
    assert (run["state"], run["repo_url"]) == ("succeeded", body["github_url"])
    assert (only["agent"], only["model"], only["temperature"]) == ("builtin", "scripted", 0.7)
    assert (await view(client, f"{run['status_url']}/status")) == run


async def test_each_variation_of_a_matrix_works_in_its_own_way(client: Client, git: GitRepositories):
    line = 'printf %s "$PROMPT" > asked'
    body = {
        "repo_url": git.make("repo"),
        "prompt": "look around",
        "agents": [
            {"agent": "command", "command": line, "prompt_suffix": "be brief", "count": 2},
            {"temperature": 1},
        ],
        "budget": {"calls": 5, "reserve": 0.25},
        "mcp_servers": {"own": {"command": ["toolbox"], "env": {"TOKEN": "secret"}}, "git": {"serve": "git"}},
    }
    response = await client.post(RUNS, json=body)
    assert response.status_code == 202, response.text
    run = await until(client, response.json()["status_url"])
    assert run["state"] == "succeeded"
    seen = [(each["agent"], each["model"], each["temperature"], each["prompt_suffix"]) for each in run["variations"]]
    assert seen == [("command", "", None, "be brief")] * 2 + [("builtin", "scripted", 1.0, "")]
    assert [each["command"] for each in run["variations"]] == [line, line, ""]
    assert run["budget"] == body["budget"]
    assert run["mcp_servers"] == {
        "own": {"command": ["toolbox"], "env": {"TOKEN": "***"}},
        "git": {"serve": "git"},
    }
    for index in range(2):
        patch = (await client.get(run["variations"][index]["patch_url"])).text
        assert "+look around\n+\n+be brief\n" in patch


async def test_three_variations_are_the_default(client: Client, git: GitRepositories):
    response = await client.post(RUNS, json={"repo_url": git.make("repo"), "prompt": "do it"})
    run = await until(client, response.json()["status_url"])
    assert [each["variation_id"] for each in run["variations"]] == [0, 1, 2]
    assert run["timeout_s"] == 300


async def test_runs_are_listed_newest_first_in_pages(client: Client, git: GitRepositories):
    url = git.make("repo")
    started = [await start_run(client, url, "true") for _ in range(5)]
    for run_url in started:
        await until(client, run_url)
    page = (await client.get(RUNS, params={"limit": 2})).json()
    listed = [run["status_url"] for run in page["runs"]]
    assert len(listed) == 2
    while page["next"]:
        page = (await client.get(page["next"])).json()
        listed += [run["status_url"] for run in page["runs"]]
    assert listed == started[::-1]
    assert len((await client.get(RUNS)).json()["runs"]) == 5
    assert (await client.get(RUNS)).json()["runs"][0] == await view(client, started[-1])


async def test_replays_are_equal_byte_for_byte(client: Client, git: GitRepositories):
    url = git.make("repo", {**FILES, "notes.txt": "notes\n"})
    run_url = await start_run(client, url, "seq 1 300", variations=3, setup=["echo setup"])
    live = log_of(await stream(client, run_url))
    check_log(parse(live))
    assert await stream(client, run_url) == live
    assert await stream(client, run_url, path="/stream/redis") == live
    assert re.match(rb"id: 1-1\nevent: run_status\n", live)
