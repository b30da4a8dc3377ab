"""How long the demo takes until its three agents are at work: its own Postgres, a service, a clone, three sandboxes."""

import os
import re
import subprocess
import time
from pathlib import Path
from uuid import uuid4

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream
from msgspec import Struct

from tests.bench.errors import BenchError
from tests.bench.limit import limit
from tests.bench.machine import ROOT
from tests.bench.process import end

_LIMIT_S = 120.0
_END_S = 20.0
_SERVES = re.compile(rb"http://127\.0\.0\.1:\d+")
_RUNS = re.compile(rb"agent \d .*\brunning\b")
_AGENTS = 3


class Start(Struct, frozen=True):
    """Seconds from the start of the program until it said so."""

    serving_s: float
    agents_s: float


async def start_demo(folder: Path) -> Start:
    """Start `aideator demo` on the local engine, with nothing of an earlier one, and end it when its agents work.

    Raises:
        BenchError: it ends before that.

    """
    own = folder / uuid4().hex
    own.mkdir()
    environ = {**os.environ, "AIDEATOR_ENGINE": "local", "LOCAL_HOME": str(own / "local"), "PYTHONUTF8": "1"}
    begun = time.monotonic()
    process = await anyio.open_process(
        [ROOT / ".venv/bin/aideator", "demo"],
        cwd=own,
        env=environ,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    said: list[bytes] = []
    serving, agents = 0.0, 0
    try:
        with limit(_LIMIT_S, "the start of the demo"):
            lines = BufferedByteReceiveStream(process.stdout)
            while agents < _AGENTS:
                said.append(await lines.receive_until(b"\n", 1 << 20))
                serving = serving or (time.monotonic() - begun if _SERVES.search(said[-1]) else 0.0)
                agents += _RUNS.search(said[-1]) is not None
        return Start(serving, time.monotonic() - begun)
    except anyio.IncompleteRead as error:
        raise BenchError("the demo has ended:\n" + b"\n".join(said[-15:]).decode(errors="replace")) from error
    finally:
        await end(process, _END_S)
