"""The built-in agent: our loop of model and tools."""

import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext

from agent_image.emitter import Emitter
from agent_image.events import Outcome
from agent_image.instructions import INSTRUCTIONS
from agent_image.loop import Loop
from agent_image.mcp.servers import ServersError
from agent_image.mcp.toolbox import with_servers
from agent_image.model import Model
from agent_image.providers import provider_model
from agent_image.providers.settings import Settings
from agent_image.result import Ended
from agent_image.scripted import ScriptedModel
from agent_image.shell import Shell
from agent_image.task import SCRIPTED, Task
from agent_image.tools import RepositoryTools, Tool
from agent_image.workspace import Workspace


async def work(task: Task, shell: Shell, emitter: Emitter) -> Ended:
    workspace = Workspace(task.directory)
    async with AsyncExitStack() as stack:
        try:
            own = RepositoryTools(workspace, shell)
            toolbox = await stack.enter_async_context(with_servers(task.mcp, own, shell))
            model = await stack.enter_async_context(_model(task, workspace, toolbox.tools))
        except ServersError as error:
            return Ended(Outcome.GAVE_UP, str(error), "mcp.failed")
        except ImportError as error:
            return Ended(Outcome.CRASHED, f"the packages that ask models are not in {task.agent_home}: {error}")
        loop = Loop(model=model, model_name=task.model, toolbox=toolbox, emitter=emitter, max_steps=task.max_steps)
        # An argument may be any bytes; what is not UTF-8 is a lone surrogate here, which no JSON takes.
        return await loop.work(task.prompt.encode(errors="replace").decode())


def _model(task: Task, workspace: Workspace, tools: Sequence[Tool]) -> AbstractAsyncContextManager[Model]:
    if task.model == SCRIPTED or task.wire is None or task.access is None:
        return nullcontext(ScriptedModel(workspace, variation=task.variation))
    _find_packages(task)
    settings = Settings(
        access=task.access,
        model=task.model,
        instructions=INSTRUCTIONS,
        tools=tools,
        temperature=task.temperature,
        conversation=f"{task.run_id}/{task.variation}",
    )
    return provider_model(task.wire, settings)


def _find_packages(task: Task) -> None:
    site = task.agent_home / "site"
    if site.is_dir() and str(site) not in sys.path:
        sys.path.append(str(site))
