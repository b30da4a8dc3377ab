"""Ctrl-C and its like, for work that comes to an end of its own when it is asked to."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from threading import Thread
from typing import Protocol

import anyio

from service.command import INTERRUPTED

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def tell(text: str) -> None:
    """Write to stderr, in a thread that nobody waits for: a terminal that is stopped must not keep us."""
    Thread(target=os.write, args=(sys.stderr.fileno(), f"{text}\n".encode()), daemon=True).start()


class Ask(Protocol):
    """Asks the work to come to its end; `at_once` on behalf of somebody who is impatient."""

    async def __call__(self, *, at_once: bool) -> None: ...


class Interrupt:
    """Cancels the work, until that says how it is asked to end."""

    def __init__(self, scope: anyio.CancelScope) -> None:
        self._scope = scope
        self._ask: Ask | None = None
        self.tell: Callable[[str], None] = tell
        self.has_come = False

    def call(self, ask: Ask) -> None:
        """From now on, an interrupt calls this, and whatever else the work has to do is done."""
        self._ask = ask

    async def come(self, *, at_once: bool = False) -> None:
        self.has_come = True
        if self._ask is None:
            self._scope.cancel()
        else:
            await self._ask(at_once=at_once)


async def interruptible(work: Callable[[Interrupt], Awaitable[int]]) -> int:
    """Do `work`; returns its status, or that of what was interrupted."""
    status, scope = INTERRUPTED, anyio.CancelScope()
    interrupt = Interrupt(scope)
    # What whoever started us ignores, such as nohup does, stays ignored.
    heeded = [each for each in _SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    with anyio.open_signal_receiver(*heeded) as signals, scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_watch, signals, interrupt)
            status = await work(interrupt)
            tasks.cancel_scope.cancel()
    return INTERRUPTED if interrupt.has_come else status


async def _watch(signals: AsyncIterator[signal.Signals], interrupt: Interrupt) -> None:
    await anext(signals)
    interrupt.tell("ending; a moment")
    await interrupt.come()
    async for each in signals:
        if each is signal.SIGINT:  # a terminal that is closed sends SIGHUP more than once, and nobody is impatient
            await interrupt.come(at_once=True)
