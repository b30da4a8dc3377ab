"""The service as an operator starts it: a process of its own on a real port, a Postgres, a repository to clone."""

import os
import subprocess
import tempfile
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import httpx2
import msgspec
from anyio.abc import Process, TaskStatus
from anyio.streams.buffered import BufferedByteReceiveStream
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.db.embedded import embedded_postgres
from service.demo.sample import make_sample
from service.git_server import git_server
from tests.bench.errors import BenchError
from tests.bench.limit import limit
from tests.bench.process import end
from tests.service.postgres_home import drop_home, make_home

ROOT = Path(__file__).parents[2]
_START_S = 60.0
_END_S = 20.0
_SHOWN = 15


class Served:
    """The running service, what it clones, and what can be counted of it from outside."""

    def __init__(
        self, client: httpx2.AsyncClient, sample: Path, repo_url: str, pid: int, database: AsyncEngine
    ) -> None:
        self.client = client
        self.sample = sample
        self.repo_url = repo_url
        self._pid = pid
        self._database = database

    def cpu_s(self) -> float | None:
        """CPU seconds of the service's process so far, Postgres and engine apart; None where there is no /proc."""
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Bytes of the service's process alone that it shares with nobody."""
        rows = (line.split() for line in Path(f"/proc/{self._pid}/smaps_rollup").read_text().splitlines()[1:])
        return sum(int(row[1]) for row in rows if row[0].startswith("Private_")) * 1024

    async def segments(self, run_id: UUID) -> int:
        """Rows that hold a run's log."""
        async with self._database.connect() as connection:
            rows = await connection.execute(text("SELECT count(*) FROM segments WHERE run_id = :id"), {"id": run_id})
            return rows.scalar_one()

    async def postgres_version(self) -> str:
        async with self._database.connect() as connection:
            return (await connection.execute(text("SHOW server_version"))).scalar_one()


@asynccontextmanager
async def served(environ: Mapping[str, str], *, max_variations: int) -> AsyncGenerator[Served]:
    """Serve, for as long as the block lasts.

    Raises:
        BenchError: the service does not start; the message has the end of its log.

    """
    home = make_home()
    try:
        with tempfile.TemporaryDirectory() as folder, git_server(Path(folder)) as git_url:
            sample = Path(folder, "stats")
            make_sample(sample)
            async with embedded_postgres(home) as database_url, _database(database_url) as database:
                own = {"DATABASE_URL": database_url, "PORT": "0", "GIT_ALLOW": f"{git_url}/", "DEBUG": "false"}
                own["MAX_VARIATIONS"] = str(max_variations)
                async with (
                    _process({**environ, **own}) as (process, url),
                    httpx2.AsyncClient(base_url=url, timeout=60) as client,
                ):
                    yield Served(client, sample, f"{git_url}/stats", process.pid, database)
    finally:
        drop_home(home)


@asynccontextmanager
async def _database(url: str) -> AsyncGenerator[AsyncEngine]:
    engine = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"))
    try:
        yield engine
    finally:
        with anyio.CancelScope(shield=True):
            await engine.dispose()


@asynccontextmanager
async def _process(environ: Mapping[str, str]) -> AsyncGenerator[tuple[Process, str]]:
    process = await anyio.open_process(
        [ROOT / ".venv/bin/aideator", "serve"],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is ours, and the service ends in order
    )
    try:
        async with anyio.create_task_group() as reading:
            with limit(_START_S, "the start of the service"):
                url = await reading.start(_read_log, process)
            yield process, url
            reading.cancel_scope.cancel()
    finally:
        await end(process, _END_S)


async def _read_log(process: Process, *, task_status: TaskStatus[str]) -> None:
    """Read the service's log for as long as it writes one; its URL is in it."""
    assert process.stderr is not None
    lines, last = BufferedByteReceiveStream(process.stderr), deque[str](maxlen=_SHOWN)
    started = False
    while True:
        try:
            line = await lines.receive_until(b"\n", 1 << 20)
        except anyio.IncompleteRead:
            break
        last.append(line.decode(errors="replace"))
        if not started and (url := _url(line)):
            started = True
            task_status.started(url)
    raise BenchError("the service has ended; the end of its log:\n" + "\n".join(last))


def _url(line: bytes) -> str:
    try:
        record = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError:
        return ""
    return record["url"] if record.get("event") == "serving" else ""
