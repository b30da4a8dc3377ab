"""The door to a terminal: the Dagger CLI on our module, as a user calls it."""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import anyio
import msgspec
from anyio.abc import Process
from msgspec import Struct

from tests.bench.commands import SLEEP, command_line
from tests.bench.errors import BenchError
from tests.bench.limit import limit
from tests.bench.process import end

ROOT = Path(__file__).parents[2]
_CALL_S = 300.0
_END_S = 10.0
_SHOWN = 600


class Call(Struct, frozen=True):
    """A warm `dagger call … summary`, and another of the same run id, which reads what the first one did."""

    seconds: float
    agents_s: float
    """What the agents took, side by side: the longest of them."""
    again_s: float


class _Row(Struct):
    outcome: str
    seconds: float = 0.0


class _Report(Struct):
    variations: list[_Row]


async def call_summary(environ: Mapping[str, str], sample: Path, *, variations: int) -> Call:
    """Call `summary`, then `report` of the same run for the agents' own seconds.

    Raises:
        BenchError: a call fails, or an agent does.

    """
    run = ["call", "run", f"--source={sample}", "--prompt=sleep", f"--variations={variations}", "--agent=command"]
    run += [f"--command={command_line(SLEEP)}", f"--run-id={uuid4().hex}"]
    seconds, _ = await _timed(environ, [*run, "summary"])
    again_s, report = await _timed(environ, [*run, "report"])
    rows = msgspec.json.decode(report, type=_Report).variations
    if any(row.outcome != "submitted" for row in rows):
        raise BenchError(f"an agent of dagger call did not submit: {report.decode()}")
    return Call(seconds, max(row.seconds for row in rows), again_s)


async def _timed(environ: Mapping[str, str], arguments: list[str]) -> tuple[float, bytes]:
    begun = time.monotonic()
    process = await anyio.open_process(
        [ROOT / ".venv/bin/dagger", "--silent", *arguments],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is ours: we end it, and it ends its containers
    )
    said: dict[str, bytes] = {}
    try:
        with limit(_CALL_S, "dagger call"):
            async with anyio.create_task_group() as reading:
                reading.start_soon(_read, process, "stdout", said)
                reading.start_soon(_read, process, "stderr", said)
                await process.wait()
    finally:
        await end(process, _END_S)
    if process.returncode != 0:
        raise BenchError(f"dagger call failed: {said['stderr'].decode(errors='replace').strip()[-_SHOWN:]}")
    return time.monotonic() - begun, said["stdout"]


async def _read(process: Process, name: str, said: dict[str, bytes]) -> None:
    stream = process.stdout if name == "stdout" else process.stderr
    assert stream is not None
    said[name] = b"".join([chunk async for chunk in stream])
