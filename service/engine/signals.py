"""Signals to processes that asyncio started."""

import os
from contextlib import suppress
from signal import Signals

from anyio.abc import Process


def send_signal(process: Process, signal: Signals) -> None:
    """Send it, unless the process has ended.

    Not by its own method: up to Python 3.12 that asks for the status on the way, and of a process that has just ended
    takes it from whoever waits, who is then told 255 (https://github.com/python/cpython/issues/87744).
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal)
