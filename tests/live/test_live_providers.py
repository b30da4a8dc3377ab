"""The real providers, where somebody asks for it: AIDEATOR_LIVE=1, and a key. It costs a cent or two.

ANTHROPIC_API_KEY=… AIDEATOR_LIVE=1 .venv/bin/python -m pytest tests/live
"""

import os
from pathlib import Path

import pytest

from service.engine.local.engine import LocalEngine, LocalOptions
from service.settings import Settings
from tests.git_repositories import GitRepositories
from tests.service.api import frames, service, start_run, until

MODELS = {
    "ANTHROPIC_API_KEY": "anthropic/claude-haiku-4-5",
    "OPENAI_API_KEY": "openai/gpt-5-mini",
    "GPT_OSS_URL": f"gpt-oss/{os.environ.get('AIDEATOR_LIVE_MODEL', 'gpt-oss:20b')}",
}
BROKEN = {
    "calc.py": "def add(a, b):\n    return a - b\n",
    "test_calc.py": "from calc import add\n\nassert add(2, 2) == 4\nprint('passed')\n",
}
PROMPT = "`python3 test_calc.py` fails. Mend calc.py, see the test pass, and submit."
LIMIT_S = 300.0


@pytest.mark.parametrize("variable", MODELS)
async def test_the_builtin_agent_mends_a_failing_test(
    variable: str, git: GitRepositories, database_url: str, tmp_path: Path
):
    if os.environ.get("AIDEATOR_LIVE") != "1" or not os.environ.get(variable):
        pytest.skip(f"costs money: set AIDEATOR_LIVE=1 and {variable}")
    settings = Settings.from_environ({**os.environ, "GIT_ALLOW": f"{git.url}/", "BUDGET_USD": "0"}, folder=tmp_path)
    async with service(
        settings, database_url, LocalEngine(LocalOptions(home=tmp_path / "local")), os.environ
    ) as client:
        model, budget = MODELS[variable], {"calls": 20}
        run = await start_run(
            client, git.make("broken", BROKEN), prompt=PROMPT, model=model, budget=budget, timeout_s=LIMIT_S
        )
        ended = await until(client, run, limit_s=LIMIT_S)
        assert ended["state"] == "succeeded", ended
        assert b"+    return a + b" in (await client.get(ended["variations"][0]["patch_url"])).content
        assert ended["usage"]["input_tokens"] > 0
        assert ended["usage"]["output_tokens"] > 0
        kinds = {frame.event["kind"] for frame in await frames(client, run)}
        assert {"said", "tool_called", "tool_returned", "usage"} <= kinds
