"""A command at a terminal, from its start to its exit status; Ctrl-C ends it in order."""

import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import anyio
import click

_INTERRUPTED = 130


def run_to_end(command: Callable[..., Awaitable[None]], *args: object, expected: tuple[type[Exception], ...]) -> None:
    """Run `command`; of an `expected` error, people see the message. Task groups wrap errors, hence `except*`."""
    failed: list[str] = []
    try:
        anyio.run(command, *args, backend_options={"use_uvloop": True})
    except* expected as errors:
        failed = _messages(errors)
    except* KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    if failed:
        raise click.ClickException("; ".join(failed))


def _messages(error: BaseException) -> list[str]:
    if not isinstance(error, BaseExceptionGroup):
        return [str(error)]
    group = cast("BaseExceptionGroup[BaseException]", error)
    return [message for each in group.exceptions for message in _messages(each)]


async def interruptible(work: Callable[[], Awaitable[None]]) -> None:
    """Do `work`, cancelled at SIGINT or SIGTERM; then raises `KeyboardInterrupt`, once all of it has ended."""
    interrupted = anyio.Event()
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_stop_at, signals, interrupted, tasks.cancel_scope)
            await work()
            tasks.cancel_scope.cancel()
    if interrupted.is_set():
        raise KeyboardInterrupt


async def _stop_at(signals: AsyncIterator[signal.Signals], interrupted: anyio.Event, scope: anyio.CancelScope) -> None:
    """Cancel; a `KeyboardInterrupt` raised in a task would stop the loop, and nothing would be cleaned up in order."""
    await anext(signals)
    interrupted.set()
    scope.cancel()
