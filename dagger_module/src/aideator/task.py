"""What a variation is asked to do, and the harness's arguments that say so."""

from dataclasses import dataclass

from aideator.places import AGENT_MOUNT, MCP_MOUNT

AGENTS = ("builtin", "claude-code", "codex", "command")
SCRIPTED = "scripted"
"""The model that needs no provider."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one variation is asked to do."""

    run_id: str
    """With `index`, what makes this step unlike any other: the same pair reads the same work from the cache."""
    index: int
    prompt: str
    agent: str = "builtin"
    model: str = SCRIPTED
    """As its provider knows it."""
    wire: str = ""
    """What that provider speaks: messages, responses or chat; empty for a model without one."""
    temperature: float | None = None
    command: str = ""
    """The command line of the agent `command`; empty for others."""
    mcp: str = ""
    """MCP servers, as JSON."""
    timeout_s: float = 300.0


def needs_of(task: Task) -> dict[str, str]:
    """What an agent needs besides the harness: where it is mounted, and where in `agent_image` it is listed."""
    needs: dict[str, str] = {}
    if task.agent != "command" and task.model != SCRIPTED:
        needs[AGENT_MOUNT] = f"agents/{task.agent.replace('-', '_')}.txt"
    if task.mcp:
        needs[MCP_MOUNT] = "mcp/requirements.txt"
    return needs


def arguments(task: Task) -> list[str]:
    """The harness's arguments; those that say nothing are left out."""
    asked = {
        "agent": task.agent,
        "model": task.model,
        "prompt": task.prompt,
        "timeout": f"{task.timeout_s:g}",
        "wire": task.wire,
        "temperature": "" if task.temperature is None else f"{task.temperature:g}",
        "command": task.command,
        "mcp": task.mcp,
    }
    return [f"--{name}={value}" for name, value in asked.items() if value]
