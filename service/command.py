"""A command at a terminal, from its start to its exit status; Ctrl-C ends it in order."""

import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import anyio
import click

INTERRUPTED = 130
"""The exit status of a command that Ctrl-C ended."""


def run_to_end(
    command: Callable[..., Awaitable[int | None]],
    *args: object,
    expected: tuple[type[Exception], ...],
    status_of: Callable[[BaseException], int] = lambda _: 1,
) -> None:
    """Run `command`, and exit with the status that it returns, if any.

    Of an `expected` error, people see the message, and the status is `status_of` it. Task groups wrap errors, hence
    `except*`.
    """
    failed: list[BaseException] = []
    status = None
    try:
        status = anyio.run(command, *args, backend_options={"use_uvloop": True})
    except* expected as errors:
        failed = leaves(errors)
    except* KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    if failed:
        # What was asked for wrongly goes before what failed beside it, meanwhile.
        status = min(map(status_of, failed))
        click.ClickException("; ".join(str(each) for each in failed if status_of(each) == status)).show()
        sys.exit(status)
    if status:
        sys.exit(status)


def leaves(error: BaseException) -> list[BaseException]:
    """Return the errors that a group of errors is of."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    group = cast("BaseExceptionGroup[BaseException]", error)
    return [leaf for each in group.exceptions for leaf in leaves(each)]


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
