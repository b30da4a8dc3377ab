"""What the agents do: the same commands on the bare engine and as agents of a run."""

import shlex

from tests.bench.errors import BenchError

IMAGE = "python:3.11-slim"

SLEEP_S = 1.0
SLEEP = ["sh", "-c", f"echo started; sleep {SLEEP_S:g}"]

_PRINT = """
import os, time
for _ in range({lines}):
    os.write(1, b"at %.6f\\n" % time.time())
    time.sleep({pause_s})
"""

PACED_LINES = 150
PACED = ["python3", "-c", _PRINT.format(lines=PACED_LINES, pause_s=0.021)]
"""Prints what time it is every 20 ms, about: in step with the engine's own tenth of a second, samples would repeat."""

BURST_LINES = 5_000


def burst_of(lines: int) -> list[str]:
    """The same, as fast as it can."""
    return ["python3", "-c", _PRINT.format(lines=lines, pause_s=0)]


BURST = burst_of(BURST_LINES)


def command_line(command: list[str]) -> str:
    return shlex.join(command)


def printed_at(line: str) -> float:
    """The wall clock that a line of `PACED` or `BURST` tells; containers have that of their machine.

    Raises:
        BenchError: it is no such line.

    """
    word, _, moment = line.partition(" ")
    try:
        return float(moment)
    except ValueError:
        raise BenchError(f"an agent printed {word!r} where it should tell the time: {line[:200]!r}") from None
