"""Sandboxes whose service was killed, and that outlived it; the kernel ends nearly all of them with it."""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from service.engine.local.launch import SANDBOX

_GONE_MS = 2_000
_PROCESSES = Path("/proc")


def end_orphans(user: int | None) -> None:
    """Kill the first process of each sandbox of ours, or of `user`, that nobody holds, and what it started with it.

    One that is held is the child of a process of bubblewrap's that has the same name. No agent can seem to be one: a
    sandbox's first process, which makes no namespace, is bubblewrap's own.
    """
    ours = {os.geteuid()} if user is None else {os.geteuid(), user}
    for pid in list(_pids()):
        with suppress(OSError):
            if _is_orphan(pid, ours):
                _end(pid, ours)


def _end(pid: int, ours: set[int]) -> None:
    life = os.pidfd_open(pid)
    try:
        if _is_orphan(pid, ours):  # the number is still that of whom we mean
            signal.pidfd_send_signal(life, signal.SIGKILL)
            over = select.poll()
            over.register(life, select.POLLIN)
            over.poll(_GONE_MS)
    finally:
        os.close(life)


def _is_orphan(pid: int, ours: set[int]) -> bool:
    if not _is_sandbox(pid):
        return False
    status = _status(pid)
    numbers = status["NSpid"].split()
    is_first = len(numbers) > 1 and numbers[-1] == "1"
    return is_first and int(status["Uid"].split()[0]) in ours and not _is_sandbox(int(status["PPid"]))


def _is_sandbox(pid: int) -> bool:
    with suppress(FileNotFoundError):
        return (_PROCESSES / str(pid) / "cmdline").read_bytes().partition(b"\0")[0] == SANDBOX.encode()
    return False


def _status(pid: int) -> dict[str, str]:
    lines = (_PROCESSES / str(pid) / "status").read_text(errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _pids() -> Iterator[int]:
    return (int(process.name) for process in os.scandir(_PROCESSES) if process.name.isdigit())
