"""Any command line as an agent."""

from agent_image.events import Outcome
from agent_image.result import Ended
from agent_image.shell import Shell
from agent_image.task import Task


async def work(task: Task, shell: Shell) -> Ended:
    ended = await shell.run(task.command, extra={"PROMPT": task.prompt})
    if ended.status == 0:
        return Ended(Outcome.SUBMITTED)
    return Ended(Outcome.GAVE_UP, f"the command {ended}")
