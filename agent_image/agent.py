"""The agents: each takes a task and a place to work, and says how it ended."""

import json
from functools import partial
from typing import Literal

from agent_image.emitter import Emitter
from agent_image.events import Outcome, ToolCalled, ToolReturned
from agent_image.loop import Loop
from agent_image.result import Ended
from agent_image.scripted import ScriptedModel
from agent_image.shell import Shell
from agent_image.task import AgentKind, Task
from agent_image.tools import Toolbox
from agent_image.workspace import Workspace

_SHOWN = 200
"""Characters of a command in a reason."""


async def run_agent(task: Task, shell: Shell, emitter: Emitter) -> Ended:
    """Run the setup, if the task is one, or the agent that the task names."""
    if task.setup:
        return await _set_up(task, shell, emitter)
    match task.agent:
        case AgentKind.BUILTIN:
            return await _builtin(task, shell, emitter)
        case AgentKind.COMMAND:
            return await _command(task, shell)


def agent_name(task: Task) -> AgentKind | Literal["setup"]:
    return "setup" if task.setup else task.agent


def model_name(task: Task) -> str:
    """Return what the agent asks; nothing for those that have no model, or one that nobody here knows."""
    return task.model if agent_name(task) == AgentKind.BUILTIN else ""


async def _builtin(task: Task, shell: Shell, emitter: Emitter) -> Ended:
    workspace = Workspace(task.directory)
    loop = Loop(
        model=ScriptedModel(workspace, variation=task.variation),
        model_name=task.model,
        toolbox=Toolbox(workspace, shell),
        emitter=emitter,
        max_steps=task.max_steps,
    )
    # An argument may be any bytes; what is not UTF-8 is a lone surrogate here, which no JSON takes.
    return await loop.work(task.prompt.encode(errors="replace").decode())


async def _command(task: Task, shell: Shell) -> Ended:
    ended = await shell.run(task.command, extra={"PROMPT": task.prompt})
    if ended.status == 0:
        return Ended(Outcome.SUBMITTED)
    return Ended(Outcome.GAVE_UP, f"the command {ended}")


async def _set_up(task: Task, shell: Shell, emitter: Emitter) -> Ended:
    for number, command in enumerate(task.setup, start=1):
        call = f"setup-{number}"
        emitter.emit_text(partial(ToolCalled, call=call, tool="run"), json.dumps({"command": command}))
        ended = await shell.run(command)
        emitter.emit_text(partial(ToolReturned, call=call, ok=ended.status == 0), f"the command {ended}")
        if ended.status != 0:
            return Ended(Outcome.GAVE_UP, f"the setup command {command[:_SHOWN]!r} {ended}")
    return Ended(Outcome.SUBMITTED)
