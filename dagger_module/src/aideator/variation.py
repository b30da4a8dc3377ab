"""One agent at work in one container."""

from dataclasses import dataclass

import dagger

from aideator.gateway import HOST, PORT
from aideator.harness import AGENT_MOUNT, MCP_MOUNT, RESULT, Mounts, try_harness
from aideator.workspace import WORKDIR

AGENTS = ("builtin", "claude-code", "codex", "command")
SCRIPTED = "scripted"
"""The model that needs no provider."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where a variation asks for models, and what lets it in."""

    gateway: dagger.Service
    token: dagger.Secret


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


def variation(
    workspace: dagger.Container, mounts: Mounts, task: Task, access: Access | None = None
) -> dagger.Container:
    """The workspace with the agent's step on top; any exit status of the harness is a result.

    What differs between variations enters here and no earlier. The token is a secret with a name, and the engine's
    cache goes by that: a new token is no new work.
    """
    asked = (
        workspace.with_env_variable("RUN_ID", task.run_id)
        .with_env_variable("VARIATION_ID", str(task.index))
        .with_workdir(WORKDIR)
    )
    if access is not None:
        asked = asked.with_service_binding(HOST, access.gateway)
        asked = asked.with_env_variable("AIDEATOR_GATEWAY", f"http://{HOST}:{PORT}")
        asked = asked.with_secret_variable("AIDEATOR_TOKEN", access.token)
    return try_harness(asked, mounts, arguments(task))


def tree(worked: dagger.Container) -> dagger.Directory:
    """What the agent left of the repository, without `.git`, which it could write."""
    return worked.directory(WORKDIR).without_directory(".git")


def result(worked: dagger.Container) -> dagger.File:
    """The harness's result, JSON; reading it fails where the harness wrote none."""
    return worked.file(RESULT)


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
