"""The built-in agent: our loop of model and tools."""

from agent_image.emitter import Emitter
from agent_image.loop import Loop
from agent_image.result import Ended
from agent_image.scripted import ScriptedModel
from agent_image.shell import Shell
from agent_image.task import Task
from agent_image.tools import Toolbox
from agent_image.workspace import Workspace


async def work(task: Task, shell: Shell, emitter: Emitter) -> Ended:
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
