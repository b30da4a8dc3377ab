"""Agents on models, through the gateway: ours, and the real Claude Code and Codex, on a provider that is a fake."""

import base64
import json
import secrets
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from service.engine.dagger import DaggerEngine
from service.settings import Settings
from tests.git_repositories import GitRepositories
from tests.providers.fake import FakeProvider, fake_provider
from tests.providers.script import Script, Turn, shell, submit
from tests.service.api import check_log, frames, of_variation, post_run, service, start_run, until

BROKEN = {
    "calc.py": "def add(a, b):\n    return a - b\n",
    "test_calc.py": "from calc import add\n\nassert add(2, 2) == 4\nprint('passed')\n",
}
MENDED = b"-    return a - b\n+    return a + b\n"
MEND: Script = (
    Turn(text="Let me see what fails.", calls=[shell("python3 test_calc.py")]),
    Turn(text="A minus.", calls=[shell("sed -i 's/a - b/a + b/' calc.py && python3 -B test_calc.py")]),
    Turn(text="The test passes.", calls=[submit("mended")]),
)
AGENTS = [
    {"agent": "builtin", "model": "anthropic/fake-model", "temperature": 0.5},
    {"agent": "builtin", "model": "openai/fake-model"},
    {"agent": "builtin", "model": "gpt-oss/fake-model"},
    {"agent": "claude-code", "model": "anthropic/claude-sonnet-5-5"},
    {"agent": "codex", "model": "openai/gpt-6.1-sol"},
]
LIMIT_S = 300.0
"""For a run whose agents may have to be installed."""

NEEDLE = "N33dle/9+Q"
"""A part of the key, with characters that are written otherwise in a URL."""
PLANTED = "pl4nted-c0ntrol"
"""A part of the prompt: what looks for the needle has to find this."""

# Reads every variable, argument and file that it can; what it looks for reaches it backwards, lest it find itself.
SEARCH = """
import base64, os, sys, urllib.parse

def forms(plain):
    yield plain
    yield urllib.parse.quote(plain, safe="").encode()
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    for shift in range(3):  # where in three bytes it begins decides what base64 makes of it
        whole = base64.b64encode(b"." * shift + plain)
        yield whole[4 if shift else 0 : -4]

def texts():
    for folder, names, files in os.walk("/"):
        names[:] = [name for name in names if folder != "/" or name not in ("proc", "sys", "dev")]
        for name in files:
            yield os.path.join(folder, name)
    for process in filter(str.isdigit, os.listdir("/proc")):
        yield from (f"/proc/{process}/{name}" for name in ("environ", "cmdline"))

def look(plains):
    wanted = [list(forms(plain)) for plain in plains]
    read, found = 0, [[] for _ in plains]
    for path in texts():
        try:
            if os.path.getsize(path) > 50_000_000:  # the agents' own programs, which were there before the key
                continue
            with open(path, "rb") as file:
                rest = b""
                while chunk := file.read(1 << 22):
                    chunk = rest + chunk
                    for each, paths in zip(wanted, found):
                        if any(form in chunk for form in each):
                            paths.append(path)
                    rest = chunk[-64:]
            read += 1
        except OSError:
            pass
    return read, found

read, found = look([backwards[::-1].encode() for backwards in sys.argv[1:]])
for paths in found:
    print("FOUND" if paths else "CLEAN", read > 1000, sorted(paths)[:3])
"""


@pytest.fixture
def fake() -> Generator[FakeProvider]:
    with fake_provider(MEND, key=f"sk-{NEEDLE}{secrets.token_urlsafe(24)}") as fake:
        yield fake


@pytest.fixture
def settings(git: GitRepositories, fake: FakeProvider, tmp_path: Path) -> Settings:
    responses = tmp_path / "providers.toml"
    responses.write_text(f'[openai]\nwire = "responses"\nbase_url = "{fake.url}/v1"\n')
    return Settings(
        git_allow=f"{git.url}/",
        max_variations=8,
        providers_file=str(responses),
        anthropic_base_url=fake.url,
        gpt_oss_url=f"{fake.url}/v1",
    )


def keys(key: str) -> dict[str, str]:
    return dict.fromkeys(("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "LLM_API_KEY"), key)


@pytest.fixture
async def http(
    settings: Settings, fake: FakeProvider, database_url: str, dagger_environ: dict[str, str]
) -> AsyncGenerator[httpx2.AsyncClient]:
    async with service(settings, database_url, DaggerEngine(dagger_environ), keys(fake.key)) as client:
        yield client


async def start_agents(http: httpx2.AsyncClient, url: str, agents: Sequence[dict[str, Any]], **fields: Any) -> str:
    answer = await http.post("/api/v1/runs", json={"repo_url": url, "prompt": "Mend it", "agents": agents, **fields})
    assert answer.status_code == 202, answer.text
    return answer.json()["status_url"]


async def test_every_agent_mends_a_failing_test_through_the_gateway(
    http: httpx2.AsyncClient, git: GitRepositories, fake: FakeProvider
):
    run = await start_agents(http, git.make("broken", BROKEN), AGENTS)
    ended = await until(http, run, limit_s=LIMIT_S)
    log = await frames(http, run)
    check_log(log)
    for index, (each, asked) in enumerate(zip(ended["variations"], AGENTS, strict=True)):
        assert (each["state"], each["agent"], each["model"]) == ("succeeded", asked["agent"], asked["model"]), each
        assert MENDED in (await http.get(each["patch_url"])).content
        assert each["usage"]["calls"] == len(MEND)
        events = of_variation(log, index)
        kinds = {event["kind"] for event in events}
        assert {"started", "said", "tool_called", "tool_returned", "finished"} <= kinds
        said = "".join(event.get("text", "") for event in events if event["kind"] == "said")
        assert all(turn.text in said for turn in MEND)
        assert any(
            "passed" in event.get("text", "") for event in events if event["kind"] in {"tool_returned", "output"}
        )
    assert set(fake.keys) == {fake.key}
    told = [frame.event for frame in log if frame.name == "run_output" and frame.event["kind"] == "usage"]
    assert sorted(event["variation"] for event in told) == sorted(list(range(len(AGENTS))) * len(MEND))
    assert ended["usage"]["calls"] == len(told) == len(fake.requests)


async def test_the_key_is_nowhere_but_in_the_gateway(
    http: httpx2.AsyncClient,
    git: GitRepositories,
    fake: FakeProvider,
    database_url: str,
    capfd: pytest.CaptureFixture[str],
):
    look = shell(f"python3 -B search.py '{NEEDLE[::-1]}' '{PLANTED[::-1]}'")
    fake.say((Turn(calls=[look]), *MEND[1:]))
    url = git.make("searched", {**BROKEN, "search.py": SEARCH})
    run = await start_agents(http, url, [AGENTS[0], AGENTS[3], AGENTS[4]], prompt=f"Look for {PLANTED}")
    ended = await until(http, run, limit_s=LIMIT_S)
    assert [each["state"] for each in ended["variations"]] == ["succeeded"] * 3
    log = await frames(http, run)
    for index in range(3):
        said = "".join(event.get("text", "") for event in of_variation(log, index))
        assert "CLEAN True" in said
        assert "FOUND True" in said

    patches = [(await http.get(each["patch_url"])).content for each in ended["variations"]]
    seen = [*(frame.raw for frame in log), *patches, await stored(database_url), json.dumps(ended).encode()]
    seen += [text.encode() for text in capfd.readouterr()]
    for form in written_as(fake.key):
        assert not any(form in each for each in seen)


async def stored(database_url: str) -> bytes:
    """Everything in the database, as text and as bytes."""
    database = create_async_engine(database_url)
    found: list[bytes] = []
    async with database.connect() as connection:
        for table in ("runs", "variations", "segments"):
            for row in await connection.execute(text(f"SELECT * FROM {table}")):
                found += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    await database.dispose()
    return b"\n".join(found)


def written_as(key: str) -> list[bytes]:
    plain = key.encode()
    middles = [base64.b64encode(b"." * shift + plain)[4 if shift else 0 : -4] for shift in range(3)]
    return [plain, quote(key, safe="").encode(), plain.hex().encode(), plain.hex().upper().encode(), *middles]


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
