"""A run whose agents use our own MCP servers, as a fake model tells them to."""

from collections.abc import Sequence
from typing import Any

import httpx2

from tests.git_repositories import GitRepositories
from tests.providers.fake import FakeProvider
from tests.providers.script import Script, Turn, mcp, submit
from tests.service.api import check_log, frames, of_variation, until

NOTES = "read by MCP 5d1c"
WORK: Script = (
    Turn(text="Let me read.", calls=[mcp("files", "read", path="notes.txt")]),
    Turn(text="Let me write.", calls=[mcp("files", "write", path="made.txt", content="by MCP\n")]),
    Turn(text="What has changed?", calls=[mcp("git", "status")]),
    Turn(text="That is all.", calls=[submit()]),
)
_SERVERS = {"files": {"serve": "files"}, "git": {"serve": "git"}}
_LIMIT_S = 300.0
"""For a run whose agents may have to be installed."""


async def check_mcp(
    http: httpx2.AsyncClient, git: GitRepositories, fake: FakeProvider, agents: Sequence[dict[str, Any]]
) -> None:
    """Each agent, on a model that no other has, is told what a server answered, and what it wrote is in its patch."""
    fake.say(WORK)
    url = git.make("repo", {"notes.txt": f"{NOTES}\n"})
    body = {"repo_url": url, "prompt": "Use the servers", "agents": agents, "mcp_servers": _SERVERS}
    answer = await http.post("/api/v1/runs", json=body)
    assert answer.status_code == 202, answer.text
    run = answer.json()["status_url"]
    ended = await until(http, run, limit_s=_LIMIT_S)
    log = await frames(http, run)
    check_log(log)
    for index, (each, asked) in enumerate(zip(ended["variations"], agents, strict=True)):
        assert each["state"] == "succeeded", each
        told = [str(request.body) for request in fake.requests if asked["model"].endswith(f"/{request.model}")]
        assert [NOTES in request for request in told] == [False, True, True, True], asked
        assert ["?? made.txt" in request for request in told] == [False, False, False, True], asked
        assert b"+by MCP" in (await http.get(each["patch_url"])).content
        called = [event["tool"] for event in of_variation(log, index) if event["kind"] == "tool_called"]
        for tool in ("files__read", "files__write", "git__status"):
            assert len([each for each in called if each.endswith(tool)]) == 1, (asked, called)
