"""The agents: each takes a task and a place to work, and says how it ended.

One file an agent. What it needs besides the harness stands in `<its name>.txt` beside it, for pip, and is found in
`task.agent_home` when it works.
"""

from typing import Literal

from agent_image.agents import command, command_line, setup
from agent_image.agents.claude_code import ClaudeCode
from agent_image.agents.codex import Codex
from agent_image.emitter import Emitter
from agent_image.result import Ended
from agent_image.shell import Shell
from agent_image.task import AgentKind, Task


async def run_agent(task: Task, shell: Shell, emitter: Emitter) -> Ended:
    """Run the setup, if the task is one, or the agent that the task names."""
    if task.setup:
        return await setup.work(task, shell, emitter)
    match task.agent:
        case AgentKind.BUILTIN:
            from agent_image.agents import builtin  # noqa: PLC0415 -- the others start faster without

            return await builtin.work(task, shell, emitter)
        case AgentKind.COMMAND:
            return await command.work(task, shell)
        case AgentKind.CLAUDE_CODE:
            return await command_line.work(ClaudeCode, task, shell, emitter)
        case AgentKind.CODEX:
            return await command_line.work(Codex, task, shell, emitter)


def agent_name(task: Task) -> AgentKind | Literal["setup"]:
    return "setup" if task.setup else task.agent


def model_name(task: Task) -> str:
    """Return what the agent asks; nothing for those that have no model, or one that nobody here knows."""
    return "" if agent_name(task) in {"setup", AgentKind.COMMAND} else task.model
