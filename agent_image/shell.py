"""Commands of the agent, its tools and the setup: run by `sh`, their output emitted as it comes."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import msgspec
from anyio.abc import TaskGroup

from agent_image.emitter import Emitter
from agent_image.output import Budget, CommandOutput
from agent_image.processes import Child, Processes
from agent_image.tail import Stream

_CHUNK = 64 * 1024
_LATE_BYTES = 1024 * 1024
"""The most that a pipe holds, so the most that a command may have left in one."""
_IDLE_S = 0.5

_OURS = frozenset({"PROMPT", "COMMAND", "AGENT", "MODEL", "AGENT_TIMEOUT", "AIDEATOR_GATEWAY", "AIDEATOR_TOKEN"})
_OUR_ROOM = "/opt/aideator"


def commands_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` without what was meant for the harness and would mislead others."""
    theirs = {name: value for name, value in environment.items() if name not in _OURS}
    if _OUR_ROOM in theirs.get("LD_LIBRARY_PATH", ""):
        del theirs["LD_LIBRARY_PATH"]
    return theirs


class CommandEnded(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended. As a string, what follows "the command …"."""

    status: int
    """Its exit status; a signal's number, negative."""
    timed_out: bool
    seen: str
    """The beginning and the end of what it printed."""

    def __str__(self) -> str:
        if self.timed_out:
            return "was killed at its time limit"
        return f"died by signal {-self.status}" if self.status < 0 else f"ended with status {self.status}"


class Program:
    """A program that runs beside the commands. Whoever started it talks to it: its stdin and stdout are theirs."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.shown = anyio.Event()
        """Set when it has ended, and all that it printed on stderr has been shown."""
        self.last_words = ""
        """The last line of that."""


class Shell:
    """Runs commands in one directory and environment, one after another, and programs beside them.

    `background` owns what reads the pipes of those whose daemons live on.
    """

    def __init__(
        self,
        *,
        directory: Path,
        environment: Mapping[str, str],
        processes: Processes,
        background: TaskGroup,
        emitter: Emitter,
        budget: Budget,
    ) -> None:
        self._directory = directory
        self.environment = environment
        """What commands find in theirs."""
        self._processes = processes
        self._background = background
        self._emitter = emitter
        self.budget = budget
        """What they may still print, together."""

    @property
    def may_print(self) -> bool:
        """False once its commands have printed all that they may, together."""
        return not self.budget.is_spent

    async def run(
        self, command: str, *, timeout_s: float | None = None, extra: Mapping[str, str] | None = None
    ) -> CommandEnded:
        """Run `command` with the variables of `extra` besides; after `timeout_s`, kill all that it started.

        It has ended when its own process has, though a daemon of its own may hold its stdout: what that prints later
        is dropped.

        Raises:
            OSError: it cannot be started.

        """
        return await self.execute(
            ["sh", "-c", command],
            environment={**self.environment, **(extra or {})},
            output=CommandOutput(self._emitter, self.budget),
            timeout_s=timeout_s,
        )

    async def execute(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        output: CommandOutput,
        stdin: int = subprocess.DEVNULL,
        timeout_s: float | None = None,
    ) -> CommandEnded:
        """Run a program in the same way, with just these variables; `output` takes what it prints, and is closed."""
        before = self._processes.living()
        child = self._processes.start(command, directory=self._directory, environment=environment, stdin=stdin)
        try:
            with anyio.move_on_after(timeout_s) as limit:
                await _read_until_ended(child, {"stdout": child.stdout, "stderr": child.stderr}, output)
        finally:
            if child.status is None:
                self._processes.kill_since(before)
            self._finish(child.stdout, "stdout", output)
            self._finish(child.stderr, "stderr", output)
            output.close()
        status = -9 if child.status is None else child.status
        return CommandEnded(status=status, timed_out=limit.cancelled_caught, seen=str(output.excerpt))

    def start(self, command: Sequence[str], *, extra: Mapping[str, str]) -> Program:
        """Start a program with the variables of `extra` besides. What it prints on stderr is shown as a command's is.

        Raises:
            OSError: it cannot be started.
            ValueError: there is a NUL in it.

        """
        program = Program(
            self._processes.start(
                command,
                directory=self._directory,
                environment={**self.environment, **extra},
                stdin=subprocess.PIPE,
            )
        )
        self._background.start_soon(self._show, program)
        return program

    async def _show(self, program: Program) -> None:
        output = CommandOutput(self._emitter, self.budget)
        try:
            await _read_until_ended(program.child, {"stderr": program.child.stderr}, output)
        finally:
            self._finish(program.child.stderr, "stderr", output)
            output.close()
            program.last_words = str(output.excerpt).strip().rpartition("\n")[2]
            program.shown.set()

    def _finish(self, pipe: int, stream: Stream, output: CommandOutput) -> None:
        """Take what a command left in a pipe; who still writes to it is not killed by a closed pipe."""
        left = _LATE_BYTES
        with suppress(BlockingIOError):
            while left > 0:
                if not (chunk := os.read(pipe, _CHUNK)):
                    os.close(pipe)
                    return
                left -= len(chunk)
                output.feed(stream, chunk)
        self._background.start_soon(_discard, pipe)


async def _read_until_ended(child: Child, pipes: Mapping[Stream, int], output: CommandOutput) -> None:
    async with anyio.create_task_group() as readers:
        for stream, pipe in pipes.items():
            readers.start_soon(_read, pipe, stream, output)
        await child.ended.wait()
        readers.cancel_scope.cancel()


async def _read(pipe: int, stream: Stream, output: CommandOutput) -> None:
    while True:
        with anyio.move_on_after(_IDLE_S if output.is_waiting(stream) else None) as silence:
            await anyio.wait_readable(pipe)
        if silence.cancelled_caught:
            output.idle(stream)
        elif chunk := os.read(pipe, _CHUNK):
            output.feed(stream, chunk)
        else:
            return


async def _discard(pipe: int) -> None:
    try:
        await anyio.wait_readable(pipe)
        while os.read(pipe, _CHUNK):
            await anyio.wait_readable(pipe)
    finally:
        os.close(pipe)
