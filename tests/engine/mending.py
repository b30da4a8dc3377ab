"""A repository with a failing test, a script of how a model mends it, and the agents that may be asked to."""

from collections.abc import Sequence
from typing import Any

import httpx2

from tests.providers.script import Script, Turn, shell, submit

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


async def start_agents(http: httpx2.AsyncClient, url: str, agents: Sequence[dict[str, Any]], **fields: Any) -> str:
    answer = await http.post("/api/v1/runs", json={"repo_url": url, "prompt": "Mend it", "agents": agents, **fields})
    assert answer.status_code == 202, answer.text
    return answer.json()["status_url"]
