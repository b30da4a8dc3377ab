"""Agents on models, through the gateway: ours, and the real Claude Code and Codex, on a provider that is a fake."""

import json
import secrets
from collections.abc import Callable
from pathlib import Path

import httpx2

from service.engine.dagger.engine import DaggerEngine
from service.settings import Settings
from tests.git_repositories import GitRepositories
from tests.mending import AGENTS, BROKEN, LIMIT_S, MEND, MENDED, check_mended, keys, start_agents
from tests.providers.fake import FakeProvider
from tests.providers.script import Turn, shell
from tests.service.api import frames, post_run, service, start_run, until


async def test_every_agent_mends_a_failing_test_through_the_gateway(
    http: httpx2.AsyncClient, git: GitRepositories, fake: FakeProvider
):
    await check_mended(http, fake, git.make("broken", BROKEN))


async def test_a_wrong_key_fails_the_run_and_is_tried_once(
    settings: Settings, fake: FakeProvider, git: GitRepositories, database_url: str, dagger_environ: dict[str, str]
):
    async with service(settings, database_url, DaggerEngine(dagger_environ), keys("sk-wrong")) as http:
        run = await start_agents(http, git.make("broken", BROKEN), [{**AGENTS[0], "count": 4}])
        ended = await until(http, run, limit_s=LIMIT_S)
    assert (ended["state"], ended["code"]) == ("failed", "llm.auth")
    assert [each["code"] for each in ended["variations"]] == ["llm.auth"] * 4
    assert fake.keys == ["sk-wrong"]


async def test_a_key_that_is_not_there_is_told_before_anything_starts(
    settings: Settings, git: GitRepositories, database_url: str, dagger_environ: dict[str, str]
):
    async with service(settings, database_url, DaggerEngine(dagger_environ)) as http:
        answer = await post_run(http, git.make("broken", BROKEN), model="anthropic/fake-model")
        assert (answer.status_code, answer.json()["code"]) == (422, "llm.no_key")
        assert "ANTHROPIC_API_KEY" in answer.json()["detail"]
        assert (await http.get("/api/v1/runs")).json()["runs"] == []


async def test_a_budget_stops_every_variation_at_its_share(
    http: httpx2.AsyncClient, git: GitRepositories, fake: FakeProvider
):
    fake.say((Turn(calls=[shell("echo again")]),))
    run = await start_agents(http, git.make("broken", BROKEN), [AGENTS[0], AGENTS[3], AGENTS[4]], budget={"calls": 6})
    ended = await until(http, run, limit_s=LIMIT_S)
    assert [(each["state"], each["code"]) for each in ended["variations"]] == [("failed", "llm.budget")] * 3
    assert [each["usage"]["calls"] for each in ended["variations"]] == [2] * 3
    assert all(each["patch_bytes"] == 0 for each in ended["variations"])


async def test_a_cancelled_run_leaves_no_gateway_and_knows_what_it_spent(
    http: httpx2.AsyncClient, git: GitRepositories, fake: FakeProvider
):
    fake.say((Turn(calls=[shell("sleep 1000")]),))
    run = await start_agents(http, git.make("broken", BROKEN), [AGENTS[0]])
    await fake.until(lambda: len(fake.requests) == 1 and fake.open == 0)
    assert (await http.delete(run)).status_code == 202
    ended = await until(http, run, "cancelled", limit_s=LIMIT_S)
    assert ended["usage"]["calls"] == 1


def test_a_terminal_s_run_asks_models_once_and_says_what_it_cost(
    dagger_call: Callable[..., str], fake: FakeProvider, tmp_path: Path
):
    for name, content in BROKEN.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "key").write_text(fake.key)
    run = ["call", "run", f"--source={tmp_path}", f"--run-id={secrets.token_hex(8)}", "--prompt=Mend it"]
    run += ["--model=anthropic/fake-model", "--variations=2", f"--anthropic-api-key=file:{tmp_path}/key"]
    run += [f"--model-server=tcp://127.0.0.1:{fake.port}", f"--anthropic-base-url=http://models:{fake.port}"]
    rows = json.loads(dagger_call(*run, "report"))["variations"]
    assert [(row["outcome"], row["usage"]["calls"]) for row in rows] == [("submitted", len(MEND))] * 2
    assert len(fake.requests) == 2 * len(MEND)
    assert set(fake.keys) == {fake.key}
    assert MENDED.decode() in dagger_call(*run, "variation", "--index=1", "patch", "contents")
    assert len(fake.requests) == 2 * len(MEND), "the same run id asks nobody again"


async def test_a_run_without_models_has_no_gateway(http: httpx2.AsyncClient, git: GitRepositories):
    run = await start_run(http, git.make("plain"), "true")
    ended = await until(http, run)
    assert ended["usage"] is None
    assert not [frame for frame in await frames(http, run) if frame.event.get("agent") == "gateway"]
