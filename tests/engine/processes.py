"""An agent that does not want to end, and a look at what is left of a run on this machine."""

from contextlib import suppress
from pathlib import Path

import anyio

_DAEMON = "trap '' TERM INT HUP; sleep 1000 & sleep 1000; :"
STUBBORN = f"""
trap '' TERM INT HUP
for each in 1 2 3; do (setsid sh -c "{_DAEMON}" >/dev/null 2>&1 &); done
sh -c 'sleep 1000 & echo at work; sleep 1000; :'
"""
"""Ignores every signal that can be ignored, and forks twice into sessions of their own: `FAMILY` processes and more."""

FAMILY = 12


def processes_of(run: str) -> list[int]:
    """The ids of all processes of this machine, those in containers included, that belong to a run, by its URL."""
    mark = f"RUN_ID={run.rpartition('/')[2]}".encode()
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        # It may end while it is looked at; and some are not for us to see, which ours never are.
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


async def until_at_work(run: str, count: int) -> None:
    """Wait until `count` agents that are `STUBBORN` have started all that they start."""
    with anyio.fail_after(60):
        while len(processes_of(run)) < FAMILY * count:  # noqa: ASYNC110 -- processes in containers have no event
            await anyio.sleep(0.05)
