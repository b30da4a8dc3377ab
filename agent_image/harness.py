"""What surrounds an agent: its time, its processes, its last word."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import anyio
from anyio.abc import TaskGroup
from msgspec import structs

from agent_image.agents import agent_name, model_name, run_agent
from agent_image.emitter import Emitter, StdoutClosedError
from agent_image.events import EXIT_STATUS, Finished, Outcome, Started
from agent_image.forward import forward, is_forwarded
from agent_image.gateway.totals import Totals
from agent_image.output import Budget, Limits
from agent_image.processes import Processes, adopt_orphans, keep_to_ourselves
from agent_image.result import LONGEST_REASON, Ended, write_result
from agent_image.shell import Shell, commands_environment
from agent_image.task import Task

_FORCE_AFTER_S = 2.0
"""How long after its deadline a harness that is stuck is ended by force."""
_TERMINATE_S = 1.0
"""How long after SIGTERM."""


class Harness:
    """Runs one task and outlives all that it started.

    A write to a stdout that nobody reads blocks the whole process, event loop and deadline included. So every limit
    has a second line: an alarm, whose handler runs even then, kills everything and ends the process.
    """

    def __init__(self, task: Task, limits: Limits, *, stdout: int = 1) -> None:
        self._task = task
        self._limits = limits
        self._emitter = Emitter(stdout)
        self._processes = Processes()
        self._is_terminated = False
        self._cancel: Callable[[], object] | None = None

    def guard(self) -> None:
        """Adopt orphans, be none to look into, take SIGTERM and SIGINT for an end, and set the alarm.

        In the main thread only.
        """
        adopt_orphans()
        keep_to_ourselves()
        signal.signal(signal.SIGALRM, self._force)
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGINT, self._terminate)
        signal.setitimer(signal.ITIMER_REAL, self._task.timeout_s + _FORCE_AFTER_S)

    async def work(self) -> Ended:
        """Let the agent work until it has ended, its time is up or the harness is terminated."""
        loop = asyncio.get_running_loop()
        with anyio.move_on_after(self._task.timeout_s - self._emitter.seconds) as scope:
            self._cancel = lambda: loop.call_soon_threadsafe(scope.cancel)
            try:
                if not self._is_terminated:
                    async with anyio.create_task_group() as background:
                        return await self._run_agent(background)
            finally:
                self._cancel = None
        return self._stopped()

    def end(self, ended: Ended) -> int:
        """Kill what is left, say how it ended, and return the exit status."""
        self._processes.kill_all()
        self._write_result(ended, self._spent())
        status = EXIT_STATUS[ended.outcome]
        finished = partial(Finished, outcome=ended.outcome, exit=status, code=ended.code)
        finished = partial(finished, reason=ended.reason[:LONGEST_REASON])
        with suppress(StdoutClosedError):  # then nobody wants to know
            self._emitter.emit(partial(finished, seconds=self._emitter.seconds))
        signal.setitimer(signal.ITIMER_REAL, 0)
        return status

    def _spent(self) -> Totals | None:
        if self._task.access is None:
            return None
        from agent_image.spent import spent  # noqa: PLC0415 -- who asks no models starts faster without

        return spent(self._task.access)

    async def _run_agent(self, background: TaskGroup) -> Ended:
        task = self._task
        self._emitter.emit(partial(Started, agent=agent_name(task), model=model_name(task)))
        if not task.directory.is_dir():
            return Ended(Outcome.CRASHED, f"there is no directory {task.directory}")
        await background.start(self._processes.reap_forever)
        shell = Shell(
            directory=task.directory,
            environment=commands_environment(os.environ),
            processes=self._processes,
            background=background,
            emitter=self._emitter,
            budget=Budget(self._limits),
        )
        try:
            if task.access is not None and is_forwarded(task.access):
                task = structs.replace(task, access=await background.start(forward, task.access))
            return await run_agent(task, shell, self._emitter)
        finally:
            background.cancel_scope.cancel()

    def _stopped(self) -> Ended:
        if self._is_terminated:
            return Ended(Outcome.CRASHED, "terminated")
        return Ended(Outcome.TIMED_OUT, f"the time limit of {self._task.timeout_s:g} s was reached")

    def _terminate(self, *_: object) -> None:
        self._is_terminated = True
        signal.setitimer(signal.ITIMER_REAL, _TERMINATE_S)
        if self._cancel is not None:
            self._cancel()

    def _force(self, *_: object) -> None:
        self._processes.kill_all(limit_s=3)
        ended = self._stopped()
        self._write_result(ended)
        os._exit(EXIT_STATUS[ended.outcome])

    def _write_result(self, ended: Ended, usage: Totals | None = None) -> None:
        if self._task.result is None:
            return
        try:
            write_result(self._task.result, ended, self._emitter.seconds, usage)
        except OSError as error:
            print(f"the result could not be written: {error}", file=sys.stderr)  # noqa: T201 stderr is for people
