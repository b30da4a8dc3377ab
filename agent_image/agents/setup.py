"""The setup commands, which run once for all variations."""

import json
from functools import partial

from agent_image.emitter import Emitter
from agent_image.events import Outcome, ToolCalled, ToolReturned
from agent_image.result import Ended
from agent_image.shell import Shell
from agent_image.task import Task

_SHOWN = 200
"""Characters of a command in a reason."""


async def work(task: Task, shell: Shell, emitter: Emitter) -> Ended:
    for number, command in enumerate(task.setup, start=1):
        call = f"setup-{number}"
        emitter.emit_text(partial(ToolCalled, call=call, tool="run"), json.dumps({"command": command}))
        ended = await shell.run(command)
        emitter.emit_text(partial(ToolReturned, call=call, ok=ended.status == 0), f"the command {ended}")
        if ended.status != 0:
            return Ended(Outcome.GAVE_UP, f"the setup command {command[:_SHOWN]!r} {ended}")
    return Ended(Outcome.SUBMITTED)
