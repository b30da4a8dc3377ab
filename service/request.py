"""The body of `POST /api/v1/runs`, as a caller may send it."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from service.run import Agent, Budget

_Line = Annotated[str, Meta(min_length=1, max_length=10_000)]
_Model = Annotated[str, Meta(min_length=1, max_length=200)]
_Temperature = Annotated[float, Meta(ge=0, le=2)]
_Command = Annotated[str, Meta(max_length=100_000)]
_McpServer = {"additional_properties": {"$ref": "#/components/schemas/McpServer"}}
_McpServers = Annotated[dict[str, Any], Meta(max_length=20, extra_json_schema={"extra": _McpServer})]
"""Decoded one by one, in `service/mcp.py`: so that what is wrong with one is said with its name."""


class AgentConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The first AIdeator's `agent_config`: another place for the two."""

    model: _Model | UnsetType = UNSET
    temperature: _Temperature | UnsetType = UNSET


class AgentRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the matrix: `count` variations that are alike."""

    agent: Agent = "builtin"
    model: _Model | UnsetType = UNSET
    temperature: _Temperature | UnsetType = UNSET
    prompt_suffix: Annotated[str, Meta(max_length=10_000)] = ""
    """Put after the prompt, for these alone."""
    command: _Command = ""
    count: Annotated[int, Meta(ge=1)] = 1


class RunRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done, on which repository, by which agents, and within which limits."""

    prompt: Annotated[str, Meta(min_length=1, max_length=100_000)]
    """What the agents are asked to do; they get exactly this."""
    repo_url: Annotated[str, Meta(max_length=2_000)] | UnsetType = UNSET
    """Which git repository; required, by this name or as `github_url`."""
    github_url: Annotated[str, Meta(max_length=2_000)] | UnsetType = UNSET
    """Another name of `repo_url`, from the first AIdeator."""
    ref: Annotated[str, Meta(max_length=255)] = ""
    """Branch, tag or commit; empty for the remote's HEAD."""
    variations: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    """How many agents work side by side; 3, or `MAX_VARIATIONS` where that is less."""
    agents: Annotated[list[AgentRequest], Meta(min_length=1, max_length=1000)] | UnsetType = UNSET
    """Different agents side by side, instead of `variations` and the fields from here to `use_claude_code`."""
    agent: Agent | UnsetType = UNSET
    """`builtin` by default: our own loop of model and tools."""
    model: _Model | UnsetType = UNSET
    """`provider/name`, or a name whose provider is clear; each agent has a default."""
    temperature: _Temperature | UnsetType = UNSET
    """For `builtin` agents alone; by default it is left to the provider."""
    command: _Command | UnsetType = UNSET
    """The command line of the agent `command`, run by `sh -c`; it finds the prompt in `$PROMPT`."""
    agent_config: AgentConfig | UnsetType = UNSET
    """Another place for `model` and `temperature`, from the first AIdeator."""
    use_claude_code: bool | UnsetType = UNSET
    """True is another way to say `agent: claude-code`, from the first AIdeator."""
    budget: Budget | UnsetType = UNSET
    """What the model calls may come to; within `BUDGET_USD`."""
    mcp_servers: _McpServers | UnsetType = UNSET
    """Servers of tools for every agent, by name."""
    setup: Annotated[list[_Line], Meta(max_length=50)] = []
    """Shell commands run once, before the agents, on the clone that they share."""
    image: Annotated[str, Meta(max_length=300)] | UnsetType = UNSET
    """The container image; `AGENT_CONTAINER_IMAGE` by default. Refused where `/health` says no `foreign_images`."""
    timeout_s: Annotated[float, Meta(gt=0, le=86_400)] | UnsetType = UNSET
    """Seconds until an agent is stopped; `AGENT_TIMEOUT` by default."""


_REPOSITORY = "https://github.com/octocat/Hello-World"
EXAMPLES: Mapping[str, dict[str, Any]] = {
    "three scripted agents, without a key": {"repo_url": _REPOSITORY, "prompt": "Describe what this does"},
    "different agents side by side, within a budget": {
        "repo_url": _REPOSITORY,
        "prompt": "Describe what this does",
        "agents": [
            {"agent": "claude-code"},
            {"agent": "codex", "prompt_suffix": "Be brief."},
            {"model": "openai/gpt-6.1-sol", "temperature": 1, "count": 2},
            {"agent": "command", "command": 'echo "$PROMPT" > NOTES.md'},
        ],
        "budget": {"usd": 2},
        "mcp_servers": {"git": {"serve": "git"}},
    },
    "by the names of the first AIdeator": {
        "github_url": _REPOSITORY,
        "prompt": "Describe what this does",
        "variations": 3,
        "use_claude_code": False,
        "agent_config": {"model": "gpt-4", "temperature": 0.7},
    },
}
"""For the documentation."""
