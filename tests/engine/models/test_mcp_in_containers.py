"""Our own MCP servers beside agents in containers."""

import httpx2

from tests.git_repositories import GitRepositories
from tests.mending import AGENTS
from tests.providers.fake import FakeProvider
from tests.using_mcp import check_mcp


async def test_every_agent_reads_and_writes_through_mcp_servers(
    http: httpx2.AsyncClient, git: GitRepositories, fake: FakeProvider
):
    await check_mcp(http, git, fake, [AGENTS[0], AGENTS[3], AGENTS[4]])
