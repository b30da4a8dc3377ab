"""Runs whose agents ask models, through a gateway, at a provider that is a fake."""

import json
from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx2
import pytest
from msgspec import structs

from service.settings import Settings
from tests.faulty_engine import FaultyEngine
from tests.git_repositories import GitRepositories
from tests.providers.fake import FakeProvider, fake_provider
from tests.providers.faults import refused
from tests.providers.script import Script, Turn, shell, submit
from tests.service.api import (
    Frame,
    check_log,
    frames,
    of_variation,
    parse,
    service,
    start_run,
    until,
    until_printed,
    whole,
)
from tests.service.gates import Gates

WORK: Script = (
    Turn(text="Let me look.", calls=[shell("ls")]),
    Turn(text="I see.", calls=[shell("echo done > made")]),
    Turn(text="Done.", calls=[submit()]),
)
MODEL = "anthropic/claude-sonnet-5-5"


@pytest.fixture
def fake() -> Generator[FakeProvider]:
    with fake_provider(WORK) as fake:
        yield fake


@pytest.fixture
def settings(settings: Settings, fake: FakeProvider) -> Settings:
    return structs.replace(settings, anthropic_base_url=fake.url, gpt_oss_url=fake.url)


@pytest.fixture
async def client(
    settings: Settings, database_url: str, engine: FaultyEngine, fake: FakeProvider
) -> AsyncGenerator[httpx2.AsyncClient]:
    keys = {"ANTHROPIC_API_KEY": fake.key, "LLM_API_KEY": fake.key}
    async with service(settings, database_url, engine, keys) as client:
        yield client


async def test_what_variations_use_is_in_the_log_as_it_happens_and_in_the_views(
    client: httpx2.AsyncClient, git: GitRepositories, fake: FakeProvider
):
    run = await start_run(client, git.make("repo"), variations=2, model=MODEL)
    ended = await until(client, run, "succeeded")
    log = await frames(client, run)
    check_log(log)
    told = [frame.event for frame in log if frame.name == "run_output"]
    assert [event["n"] for event in told] == list(range(1, len(told) + 1))
    assert (told[0]["kind"], told[0]["agent"]) == ("started", "gateway")
    assert (told[-1]["kind"], told[-1]["outcome"]) == ("finished", "submitted")
    used = [event for event in told if event["kind"] == "usage"]
    assert len(used) == len(fake.requests) == 2 * len(WORK)
    assert {event["model"] for event in used} == {"claude-sonnet-5-5"}
    for index, each in enumerate(ended["variations"]):
        own = [event for event in used if event["variation"] == index]
        assert each["usage"]["calls"] == len(own) == len(WORK)
        assert each["usage"]["input_tokens"] == sum(event["input_tokens"] for event in own) > 0
        assert each["usage"]["cost_usd"] == pytest.approx(sum(event["cost_usd"] for event in own))
    assert ended["usage"]["calls"] == 2 * len(WORK)
    assert ended["usage"]["cost_usd"] == pytest.approx(sum(event["cost_usd"] for event in used))


async def test_a_price_that_nobody_knows_makes_the_cost_unknown(client: httpx2.AsyncClient, git: GitRepositories):
    run = await start_run(client, git.make("repo"), model="anthropic/claude-of-tomorrow")
    ended = await until(client, run, "succeeded")
    assert ended["usage"]["cost_usd"] is None
    assert ended["usage"]["calls"] == len(WORK)


async def test_lines_that_are_missing_live_are_taken_from_the_ledger(
    client: httpx2.AsyncClient, git: GitRepositories, engine: FaultyEngine
):
    engine.drop_lines = {1, 2, 3, 4}
    run = await start_run(client, git.make("repo"), model=MODEL)
    assert (await until(client, run, "succeeded"))["usage"]["calls"] == len(WORK)
    told = [frame.event["n"] for frame in await frames(client, run) if frame.name == "run_output"]
    assert sorted(told) == list(range(1, len(told) + 1))


async def test_a_wrong_key_fails_the_run_and_is_tried_once(
    settings: Settings, database_url: str, engine: FaultyEngine, git: GitRepositories, fake: FakeProvider
):
    async with service(settings, database_url, engine, {"ANTHROPIC_API_KEY": "wrong"}) as client:
        run = await start_run(client, git.make("repo"), variations=4, model=MODEL)
        ended = await until(client, run, "failed")
    assert ended["code"] == "llm.auth"
    assert [each["code"] for each in ended["variations"]] == ["llm.auth"] * 4
    assert fake.keys == ["wrong"]


async def test_a_key_that_is_gone_when_the_run_begins_is_its_failure(
    settings: Settings, database_url: str, engine: FaultyEngine, git: GitRepositories, gates: Gates
):
    key, providers = gates.folder / "key", gates.folder / "providers.toml"
    key.write_text("here")
    providers.write_text(f'[anthropic]\nkey = "file://{key}"\n')
    settings = structs.replace(settings, providers_file=str(providers), max_runs=1)
    async with service(settings, database_url, engine) as client:
        first = await start_run(client, git.make("repo"), gates.wait())
        second = await start_run(client, git.make("other"), model=MODEL)
        key.unlink()
        gates.open()
        await until(client, first, "succeeded")
        assert (await until(client, second, "failed"))["code"] == "llm.no_key"


async def test_a_budget_ends_each_variation_after_one_last_call(
    client: httpx2.AsyncClient, git: GitRepositories, fake: FakeProvider
):
    fake.say((Turn(calls=[shell("echo more >> made")]),))
    run = await start_run(client, git.make("repo"), variations=2, model=MODEL, budget={"calls": 6})
    ended = await until(client, run, "failed")
    assert [(each["code"], each["usage"]["calls"]) for each in ended["variations"]] == [("llm.budget", 3)] * 2
    assert "budget" in ended["variations"][0]["detail"]
    assert all(each["patch_bytes"] for each in ended["variations"]), "what was made until then is handed over"


async def test_a_provider_that_asks_for_patience_is_waited_for_by_all(
    client: httpx2.AsyncClient, git: GitRepositories, fake: FakeProvider
):
    fake.fail_next(refused(429, retry_after="1"))
    run = await start_run(client, git.make("repo"), variations=3, model=MODEL)
    await until(client, run, "succeeded")
    waiting = [frame.event for frame in await frames(client, run) if frame.event["kind"] == "waiting"]
    assert len(waiting) == 1
    assert waiting[0]["for_s"] >= 1
    assert waiting[0]["until"]
    assert len(fake.requests) == 1 + 3 * len(WORK)


async def test_a_matrix_gives_each_variation_its_agent(
    client: httpx2.AsyncClient, git: GitRepositories, fake: FakeProvider
):
    agents: list[dict[str, Any]] = [
        {"agent": "builtin", "model": MODEL, "temperature": 0.25, "count": 2},
        {"agent": "builtin", "model": "gpt-oss/some-model", "prompt_suffix": "Be brief."},
        {"agent": "command", "command": "echo $MODEL > made", "model": "gpt-oss/other"},
        {"agent": "builtin"},
    ]
    answer = await client.post("/api/v1/runs", json={"repo_url": git.make("repo"), "prompt": "Do it", "agents": agents})
    run = answer.json()["status_url"]
    ended = await until(client, run, "succeeded")
    assert [each["agent"] for each in ended["variations"]] == ["builtin", "builtin", "builtin", "command", "builtin"]
    assert [each["state"] for each in ended["variations"]] == ["succeeded"] * 5
    assert [each["usage"] and each["usage"]["calls"] for each in ended["variations"]] == [3, 3, 3, 0, None]
    temperatures = {request.body.get("temperature") for request in fake.requests if request.path == "/v1/messages"}
    assert temperatures == {0.25}
    brief = [request for request in fake.requests if "Be brief." in str(request.body)]
    assert {request.path for request in brief} == {"/v1/chat/completions"}
    assert b"+other" in (await client.get(ended["variations"][3]["patch_url"])).content


ASK = """
import os, sys, urllib.error, urllib.request
headers = {"x-api-key": open(sys.argv[1]).read(), "anthropic-version": "2023-06-01"}
try:
    urllib.request.urlopen(urllib.request.Request(os.environ["ANTHROPIC_BASE_URL"] + "/v1/models", headers=headers))
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
"""


async def test_a_token_dies_with_its_variation(client: httpx2.AsyncClient, git: GitRepositories, gates: Gates):
    ask = f"{gates.wait('token')}; python3 ask.py {gates.folder}/token"
    agents = [
        {"agent": "command", "command": "echo token $ANTHROPIC_API_KEY", "model": MODEL},
        {"agent": "command", "command": ask, "model": MODEL},
    ]
    url = git.make("repo", {"ask.py": ASK})
    answer = await client.post("/api/v1/runs", json={"repo_url": url, "prompt": "Do it", "agents": agents})
    run = answer.json()["status_url"]
    _, token = printed_by(parse(await until_ended(client, run, 0)), 0).split()
    gates.open("token", token)
    await until(client, run, "succeeded")
    status, _, refusal = printed_by(await frames(client, run), 1).partition(" ")
    assert (status, json.loads(refusal)["error"]["code"]) == ("401", "llm.token")


async def until_ended(client: httpx2.AsyncClient, run: str, index: int) -> bytes:
    """Wait until a variation has ended; returns the stream so far."""
    received = b""
    async with client.stream("GET", f"{run}/stream", timeout=None) as stream:
        async for chunk in stream.aiter_raw():
            received += chunk
            ended = [frame for frame in parse(whole(received)) if frame.name == "agent_complete"]
            if index in [frame.data["variation_id"] for frame in ended]:
                return whole(received)
    raise AssertionError(f"variation {index} never ended")


def printed_by(log: list[Frame], index: int) -> str:
    return "".join(event["text"] for event in of_variation(log, index) if event["kind"] == "output")


async def test_a_gateway_that_dies_fails_the_run(
    client: httpx2.AsyncClient, git: GitRepositories, engine: FaultyEngine
):
    agents = [{"agent": "command", "command": "echo here; sleep 1000", "model": MODEL}]
    answer = await client.post("/api/v1/runs", json={"repo_url": git.make("repo"), "prompt": "Do it", "agents": agents})
    run = answer.json()["status_url"]
    await until_printed(client, run, "here")
    engine.kill_gateways()
    assert (await until(client, run, "failed"))["code"] == "gateway.failed"
