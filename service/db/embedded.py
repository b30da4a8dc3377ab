"""A Postgres of our own, for where no `DATABASE_URL` is given.

Processes that use the same home share one server: whoever comes first starts it, whoever leaves last stops it. Each
holds a lock for as long as it uses the server, and the kernel drops that lock however the process ends. So a server
whose last user was killed keeps running, and the next one finds it warm.
"""

import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import anyio
from anyio import to_thread

from service.db.binaries import Binaries, EmbeddedPostgresError, find_binaries
from service.db.cluster import Cluster, make_home, open_private

_TURN_S = 120
_STOP_S = 30


def default_home() -> Path:
    """Where the data is kept; never below a checkout, and for root where an unprivileged user can go."""
    if os.geteuid() == 0:
        return Path("/var/lib/aideator")
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(state, "aideator")


@asynccontextmanager
async def embedded_postgres(home: Path | None = None, *, binaries: Binaries | None = None) -> AsyncGenerator[str]:
    """Run Postgres and yield the URL of its database `aideator`, for SQLAlchemy with asyncpg.

    It listens on a unix socket alone and asks for a password. The data below `home` survives.

    Raises:
        EmbeddedPostgresError: there are no programs, or the server does not start.

    """
    home = (home or default_home()).absolute()
    cluster = Cluster(home, binaries or find_binaries())
    make_home(home)
    with open_private(home / "users.lock") as users:
        try:
            async with _turn(home):
                fcntl.flock(users, fcntl.LOCK_SH)
                # In a thread, which no cancellation leaves half-way; uvloop cannot start a process as another user.
                await to_thread.run_sync(cluster.start)
            yield cluster.url()
        finally:
            with anyio.move_on_after(_STOP_S, shield=True):
                async with _turn(home):
                    if _try_lock(users):  # succeeds for the last user only
                        await to_thread.run_sync(cluster.stop)
                    fcntl.flock(users, fcntl.LOCK_UN)  # before the next one's turn


@asynccontextmanager
async def _turn(home: Path) -> AsyncGenerator[None]:
    """Be the only one who starts or stops the server."""
    with open_private(home / "turn.lock") as lock:
        try:
            with anyio.fail_after(_TURN_S):
                while not _try_lock(lock):  # noqa: ASYNC110 - the kernel's own wait cannot be cancelled
                    await anyio.sleep(0.02)
        except TimeoutError as error:
            message = f"another process has been starting or stopping the Postgres of {home} for {_TURN_S} seconds"
            raise EmbeddedPostgresError(message) from error
        yield


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
