"""Real tools at work on a real directory, and what they emitted."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from agent_image.emitter import Emitter
from agent_image.events import Event, decode_line
from agent_image.output import Budget, Limits
from agent_image.processes import Processes
from agent_image.shell import Shell, commands_environment
from agent_image.tools import RepositoryTools, Toolbox
from agent_image.workspace import Workspace


class Bench:
    """A toolbox, the shell and the emitter beside it, and the events so far."""

    def __init__(self, toolbox: Toolbox, shell: Shell, emitter: Emitter, log: Path) -> None:
        self.toolbox = toolbox
        self.shell = shell
        self.emitter = emitter
        self._log = log

    @property
    def events(self) -> list[Event]:
        return [decode_line(line) for line in self._log.read_bytes().splitlines()]


@asynccontextmanager
async def bench(directory: Path, log: Path, limits: Limits | None = None) -> AsyncGenerator[Bench]:
    with log.open("wb") as file:
        emitter = Emitter(file.fileno())
        async with anyio.create_task_group() as background:
            processes = Processes()
            await background.start(processes.reap_forever)
            shell = Shell(
                directory=directory,
                environment=commands_environment(os.environ),
                processes=processes,
                background=background,
                emitter=emitter,
                budget=Budget(limits or Limits()),
            )
            yield Bench(RepositoryTools(Workspace(directory), shell), shell, emitter, log)
            background.cancel_scope.cancel()
