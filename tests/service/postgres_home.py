"""A home for an embedded Postgres, and what can be seen of it from outside."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

ROOT = Path(__file__).parents[2]
_GONE_S = 20.0
HOLD = """
import anyio, os, signal, sys
from pathlib import Path
from service.db.embedded import embedded_postgres

async def main():
    async with embedded_postgres(Path(sys.argv[1])) as url:
        print(url, flush=True)
        if "die" in sys.argv:
            os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main)
"""


def make_home() -> Path:
    # Not pytest's tmp_path: under root that lies below a folder of mode 0700, where an unprivileged server cannot go.
    home = Path(mkdtemp(prefix="aideator-test-", dir="/var/tmp"))
    home.chmod(0o711)
    return home


def drop_home(home: Path) -> None:
    with suppress(FileNotFoundError, ProcessLookupError):
        server = postmaster(home)
        os.kill(server, signal.SIGQUIT)
        deadline = time.monotonic() + _GONE_S
        while Path(f"/proc/{server}").exists() and time.monotonic() < deadline:
            time.sleep(0.01)  # it removes files, too
    shutil.rmtree(home)


def postmaster(home: Path) -> int:
    return int((home / "data/pgdata/postmaster.pid").read_text().split()[0])


def is_running(home: Path) -> bool:
    return (home / "data/pgdata/postmaster.pid").exists()


def begun(home: Path) -> list[Path]:
    """The clusters that were begun and are not whole."""
    return list(home.glob("new-*/data/pgdata/PG_VERSION"))


async def query(url: str, statement: str) -> object:
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            result = await connection.execute(text(statement))
            return result.scalar() if result.returns_rows else None
    finally:
        await engine.dispose()


def hold(home: Path, *arguments: str, cwd: Path = ROOT, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Use the Postgres of `home` in a process of its own."""
    environ = {**os.environ, "PYTHONPATH": str(path)}
    command = [sys.executable, "-c", HOLD, str(home), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environ, timeout=60)


def tcp_listeners(pid: int) -> set[str]:
    """The TCP sockets that a process holds, as /proc names them."""
    held = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()]
    return held & {f"socket:[{row[9]}]" for row in rows}
