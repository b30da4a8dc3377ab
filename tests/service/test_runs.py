import re
from collections import Counter
from datetime import datetime
from pathlib import Path
from uuid import UUID

import anyio
import httpx2
import pytest

from tests.git_repositories import FILES, GitRepositories
from tests.process_engine import ProcessEngine, marked
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
    until_exists,
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


async def test_a_line_reaches_the_stream_before_its_container_ends(
    client: Client, git: GitRepositories, tmp_path: Path
):
    go = tmp_path / "go"
    run_url = await start_run(client, git.make("repo"), f"echo waiting; until [ -e {go} ]; do sleep 0.01; done")
    with anyio.fail_after(20):
        async with client.stream("GET", f"{run_url}/stream") as response:
            received = b""
            async for chunk in response.aiter_raw():
                received += chunk
                if b"waiting" in received and not go.exists():
                    assert (await view(client, run_url))["state"] == "running"
                    go.touch()
    assert parse(received)[-1].name == "run_complete"
    assert (await view(client, run_url))["state"] == "succeeded"


async def test_twenty_thousand_lines_are_complete_and_in_order(client: Client, git: GitRepositories):
    run_url = await start_run(client, git.make("repo"), "seq 1 20000")
    log = await frames(client, run_url)
    check_log(log)
    outputs = [event["text"] for event in of_variation(log, 0) if event["kind"] == "output"]
    assert outputs == [f"{number}\n" for number in range(1, 20_001)]


async def test_a_missing_event_is_taken_from_the_final_output(
    client: Client, git: GitRepositories, engine: ProcessEngine
):
    engine.drop_lines = {2, 5, 12}
    run_url = await start_run(client, git.make("repo"), "seq 1 10", setup=["echo one; echo two"], variations=2)
    log = await frames(client, run_url)
    check_log(log)
    for index in range(2):
        events = of_variation(log, index)
        assert sorted(event["n"] for event in events) == list(range(1, 13))
        assert sorted(int(event["text"]) for event in events if event["kind"] == "output") == list(range(1, 11))
    setup = [frame.event["n"] for frame in log if frame.name == "run_output"]
    assert sorted(setup) == list(range(1, len(setup) + 1))
    assert (await view(client, run_url))["state"] == "succeeded"


@pytest.mark.parametrize(
    ("commands", "content", "data"),
    [
        (r"printf 'a\000b\n'", "a\0b\n", None),
        (r"printf 'broken \377\376\n'", "broken \ufffd\ufffd\n", "YnJva2VuIP/+Cg=="),
        (r"printf '\033[31mred\033[0m\r\n'", "\033[31mred\033[0m\r\n", None),
        (r"printf '\342\200\250\n'", "\u2028\n", None),
    ],
    ids=["NUL", "broken UTF-8", "ANSI", "line separator"],
)
async def test_output_of_any_kind_is_stored_and_shown(
    client: Client, git: GitRepositories, commands: str, content: str, data: str | None
):
    run_url = await start_run(client, git.make("repo"), commands)
    (frame,) = [frame for frame in await frames(client, run_url) if frame.data["type"] == "output"]
    assert frame.data["content"] == content
    assert frame.event.get("data") == data
    assert frame.event.get("text", "") == ("" if data else content)
    assert (await view(client, run_url))["state"] == "succeeded"


async def test_long_lines_come_in_parts_and_forged_frames_stay_output(client: Client, git: GitRepositories):
    forged = r"\n\nid: 1-999\nevent: run_complete\ndata: {}\n\n"
    command = f"head -c 1000000 /dev/zero | tr '\\000' x; yes é | tr -d '\\n' | head -c 200000; printf '{forged}'"
    run_url = await start_run(client, git.make("repo"), command)
    log = await frames(client, run_url)
    check_log(log)
    outputs = [frame for frame in log if frame.data["type"] == "output"]
    whole = "x" * 1_000_000 + "é" * 100_000 + forged.replace(r"\n", "\n")
    assert "".join(frame.data["content"] for frame in outputs) == whole
    assert all(len(frame.raw) < 40_000 for frame in log)
    parts = [(frame.event.get("part", 0), frame.event.get("more", False)) for frame in outputs]
    long = parts[: parts.index((0, False), 1)]
    assert [part for part, _ in long] == list(range(len(long)))
    assert [more for _, more in long] == [True] * (len(long) - 1) + [False]


async def test_a_harness_that_lies_about_itself_ends_its_variation_and_nothing_else(
    client: Client, git: GitRepositories
):
    lie = r"""{"n":2,"at":1,"kind":"finished","outcome":"%s","exit":3,"seconds":1,"reason":"a\\u0000b"}\n"""
    command = f"""
    outcome=gave_up
    case $VARIATION_ID in 0) outcome=submitted ;; 2) exit ;; esac
    printf '{lie}' $outcome > /proc/$PPID/fd/1
    echo no event > /proc/$PPID/fd/1
    exit 1
    """
    run = await until(client, await start_run(client, git.make("repo"), command, variations=3))
    assert [each["state"] for each in run["variations"]] == ["failed", "failed", "succeeded"]
    assert run["variations"][1]["detail"] == "a\ufffdb"


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


# Choosing


async def test_a_person_chooses_a_variation_and_zero_is_one(client: Client, git: GitRepositories):
    command = "[ $VARIATION_ID = 2 ] && kill -9 $PPID; echo x > x"
    run_url = await start_run(client, git.make("repo"), command, variations=3)
    assert (await until(client, run_url))["selected"] is None
    for chosen, index in [(1, 1), ("0", 0), (0, 0), ("1", 1)]:
        response = await client.post(f"{run_url}/select", json={"variation_id": chosen})
        assert (response.status_code, response.json()["selected"]) == (200, index)
        assert (await view(client, run_url))["selected"] == index
    response = await client.post(f"{run_url}/select", json={"variation_id": 2})
    assert (response.status_code, response.json()["code"]) == (409, "variation.no_patch")
    for unknown in (3, -1, 10**30, "999999"):
        response = await client.post(f"{run_url}/select", json={"variation_id": unknown})
        assert (response.status_code, response.json()["code"]) == (404, "variation.not_found")
    for wrong in ("one", "-1", 1.5, True, None, "", "٣"):
        response = await client.post(f"{run_url}/select", json={"variation_id": wrong})
        assert (response.status_code, response.json()["field"]) == (422, "variation_id"), wrong
    assert (await view(client, run_url))["selected"] == 1


async def test_nothing_can_be_chosen_before_the_end(client: Client, git: GitRepositories, tmp_path: Path):
    run_url = await start_run(client, git.make("repo"), f"touch {tmp_path}/here; sleep 1000")
    await until_exists(tmp_path / "here")
    response = await client.post(f"{run_url}/select", json={"variation_id": 0})
    assert (response.status_code, response.json()["code"]) == (409, "run.not_ended")
    patch = await client.get(f"{run_url}/variations/0/patch")
    assert (patch.status_code, patch.json()["code"]) == (404, "patch.none")


# Cancelling


async def test_cancelled_means_that_every_process_is_gone(client: Client, git: GitRepositories, tmp_path: Path):
    stubborn = f"trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 1000' & touch {tmp_path}/$VARIATION_ID; sleep 1000"
    run_url = await start_run(client, git.make("repo"), stubborn, variations=3)
    mark = f"RUN_ID={UUID(run_url.rpartition('/')[2])}"
    for index in range(3):
        await until_exists(tmp_path / str(index))
    assert len(marked(mark)) >= 9
    response = await client.delete(run_url)
    assert response.status_code == 202
    run = await until(client, run_url)
    assert marked(mark) == []
    assert run["state"] == "cancelled"
    assert [each["state"] for each in run["variations"]] == ["cancelled"] * 3
    again = await client.delete(run_url)
    assert again.status_code == 409
    assert (again.json()["code"], again.json()["state"]) == ("run.ended", "cancelled")
    log = await frames(client, run_url)
    check_log(log)
    assert log[-1].event["state"] == "cancelled"


async def test_a_run_that_has_ended_cannot_be_cancelled(client: Client, git: GitRepositories):
    run_url = await start_run(client, git.make("repo"), "true")
    before = await until(client, run_url)
    response = await client.delete(run_url)
    assert response.status_code == 409
    assert (response.json()["code"], response.json()["state"]) == ("run.ended", "succeeded")
    assert await view(client, run_url) == before


async def test_a_run_is_cancelled_during_its_setup(client: Client, git: GitRepositories, tmp_path: Path):
    run_url = await start_run(client, git.make("repo"), "true", setup=[f"touch {tmp_path}/here; sleep 1000"])
    await until_exists(tmp_path / "here")
    assert (await client.delete(run_url)).status_code == 202
    assert (await until(client, run_url))["state"] == "cancelled"
    assert marked(f"RUN_ID={run_url.rpartition('/')[2]}") == []


async def test_a_cancel_that_races_with_the_end_gives_one_end(client: Client, git: GitRepositories, tmp_path: Path):
    url = git.make("repo")
    for attempt in range(8):
        go = tmp_path / f"go{attempt}"
        run_url = await start_run(client, url, f"until [ -e {go} ]; do sleep 0.01; done", variations=2)
        await until(client, run_url, "running")
        go.touch()
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


# Waiting


async def test_runs_beyond_the_limit_wait_their_turn_and_may_be_cancelled_there(
    client: Client, git: GitRepositories, tmp_path: Path
):
    url = git.make("repo")
    go = tmp_path / "go"
    busy = [await start_run(client, url, f"until [ -e {go} ]; do sleep 0.01; done") for _ in range(4)]
    for run_url in busy:
        await until(client, run_url, "running")
    waiting, unwanted = await start_run(client, url, "true"), await start_run(client, url, "true")
    assert (await client.delete(unwanted)).status_code == 202
    run = await until(client, unwanted)
    assert (run["state"], run["started_at"], run["commit"]) == ("cancelled", None, "")
    assert [each["state"] for each in run["variations"]] == ["cancelled"]
    check_log(await frames(client, unwanted))
    assert (await view(client, waiting))["state"] == "queued"
    go.touch()
    for run_url in [*busy, waiting]:
        assert (await until(client, run_url))["state"] == "succeeded"


async def test_replays_are_equal_byte_for_byte(client: Client, git: GitRepositories):
    url = git.make("repo", {**FILES, "notes.txt": "notes\n"})
    run_url = await start_run(client, url, "seq 1 300", variations=3, setup=["echo setup"])
    live = log_of(await stream(client, run_url))
    check_log(parse(live))
    assert await stream(client, run_url) == live
    assert await stream(client, run_url, path="/stream/redis") == live
    assert re.match(rb"id: 1-1\nevent: run_status\n", live)
