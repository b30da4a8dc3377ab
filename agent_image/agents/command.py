"""Any command line as an agent."""

from collections.abc import Mapping

from agent_image.agents.access import messages_variables, openai_variables, past_proxies
from agent_image.events import Outcome
from agent_image.result import Ended
from agent_image.shell import Shell
from agent_image.task import SCRIPTED, Task


async def work(task: Task, shell: Shell) -> Ended:
    ended = await shell.run(task.command, extra={"PROMPT": task.prompt, **_variables(task, shell.environment)})
    if ended.status == 0:
        return Ended(Outcome.SUBMITTED)
    return Ended(Outcome.GAVE_UP, f"the command {ended}")


def _variables(task: Task, environment: Mapping[str, str]) -> dict[str, str]:
    """Where models are, in the names of both big SDKs, and which one to ask."""
    if task.access is None:
        return {}
    both = {**messages_variables(task.access), **openai_variables(task.access)}
    model = {} if task.model == SCRIPTED else {"MODEL": task.model}
    return {**both, **past_proxies(task.access, environment), **model}
