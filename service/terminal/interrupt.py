"""Ctrl-C and its like, for work that comes to an end of its own when it is asked to."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio

from service.command import INTERRUPTED

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupt:
    """Cancels the work, until that has something better to do."""

    def __init__(self, scope: anyio.CancelScope) -> None:
        self._scope = scope
        self._instead: Callable[[], Awaitable[None]] | None = None
        self._has_come = False

    @property
    def has_come(self) -> bool:
        return self._has_come

    def call(self, instead: Callable[[], Awaitable[None]]) -> None:
        """From now on, an interrupt calls this, and the work goes on to its end."""
        self._instead = instead

    async def come(self) -> None:
        if self._has_come:
            return
        self._has_come = True
        if self._instead is None:
            self._scope.cancel()
        else:
            await self._instead()


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
    async for _ in signals:
        await interrupt.come()
