"""A repository with a failing test, a script of how a model mends it, and the agents that may be asked to."""

import secrets
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from service.settings import Settings
from tests.providers.fake import FakeProvider, fake_provider
from tests.providers.script import Script, Turn, shell, submit
from tests.service.api import Frame, check_log, frames, of_variation, until

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
NEEDLE = "N33dle/9+Q"
"""A part of the provider's key, with characters that are written otherwise in a URL."""
LIMIT_S = 300.0
"""For a run whose agents may have to be installed."""


def keys(key: str) -> dict[str, str]:
    return dict.fromkeys(("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "LLM_API_KEY"), key)


@contextmanager
def mending_provider() -> Generator[FakeProvider]:
    """A provider whose models mend it, and whose key can be looked for."""
    with fake_provider(MEND, key=f"sk-{NEEDLE}{secrets.token_urlsafe(24)}") as fake:
        yield fake


def settings_with(fake: FakeProvider, git_url: str, folder: Path) -> Settings:
    """Settings in which every provider is that one; writes to `folder`."""
    responses = folder / "providers.toml"
    responses.write_text(f'[openai]\nwire = "responses"\nbase_url = "{fake.url}/v1"\n')
    return Settings(
        git_allow=f"{git_url}/",
        max_variations=8,
        providers_file=str(responses),
        anthropic_base_url=fake.url,
        gpt_oss_url=f"{fake.url}/v1",
    )


async def check_mended(http: httpx2.AsyncClient, fake: FakeProvider, url: str) -> list[Frame]:
    """Let each of `AGENTS` mend the repository; returns the log of that run."""
    run = await start_agents(http, url, AGENTS)
    ended = await until(http, run, limit_s=LIMIT_S)
    log = await frames(http, run)
    check_log(log)
    for index, (each, asked) in enumerate(zip(ended["variations"], AGENTS, strict=True)):
        assert (each["state"], each["agent"], each["model"]) == ("succeeded", asked["agent"], asked["model"]), each
        assert MENDED in (await http.get(each["patch_url"])).content
        assert each["usage"]["calls"] == len(MEND)
        events = of_variation(log, index)
        assert {"started", "said", "tool_called", "tool_returned", "finished"} <= {event["kind"] for event in events}
        said = "".join(event.get("text", "") for event in events if event["kind"] == "said")
        assert all(turn.text in said for turn in MEND)
        assert any(
            "passed" in event.get("text", "") for event in events if event["kind"] in {"tool_returned", "output"}
        )
    assert set(fake.keys) == {fake.key}
    told = [frame.event for frame in log if frame.name == "run_output" and frame.event["kind"] == "usage"]
    assert sorted(event["variation"] for event in told) == sorted(list(range(len(AGENTS))) * len(MEND))
    assert ended["usage"]["calls"] == len(told) == len(fake.requests)
    return log


async def start_agents(http: httpx2.AsyncClient, url: str, agents: Sequence[dict[str, Any]], **fields: Any) -> str:
    answer = await http.post("/api/v1/runs", json={"repo_url": url, "prompt": "Mend it", "agents": agents, **fields})
    assert answer.status_code == 202, answer.text
    return answer.json()["status_url"]
