"""A Postgres of our own, for where no `DATABASE_URL` is given.

Processes that use the same home share one server: whoever comes first starts it, whoever leaves last stops it, and if
it dies meanwhile, they start it again. Each holds a lock for as long as it uses the server, and the kernel drops that
lock however the process ends. So a server whose last user was killed keeps running, and the next one finds it warm.
"""

import asyncio
import fcntl
import os
import shutil
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import anyio
import structlog
from anyio import to_thread

from service.db.binaries import Binaries, EmbeddedPostgresError, copy_wheel, find_binaries
from service.db.cluster import Cluster, make_home, open_private

logger: structlog.stdlib.BoundLogger = structlog.get_logger()

_TURN_S = 120
_STOP_S = 30
_AGAIN_S = 1.0
_PLACE, _TEMPORARY = "/var/tmp", "aideator-run-"  # noqa: S108 -- whose names the system makes up
_YOUNG_S, _ABANDONED_S = 60.0, 3600.0


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
            # No task group, for that would wrap what is raised in the block; and ended by a scope of anyio's, for a
            # task's own cancel would leave the thread in which the server starts to itself.
            using = anyio.CancelScope()
            keeping = asyncio.create_task(_keep(cluster, home, using))
            try:
                yield cluster.url()
            finally:
                using.cancel()
                with anyio.CancelScope(shield=True):
                    await asyncio.wait({keeping})
        finally:
            with anyio.move_on_after(_STOP_S, shield=True):
                async with _turn(home):
                    if _try_lock(users):  # succeeds for the last user only
                        await to_thread.run_sync(cluster.stop)
                    fcntl.flock(users, fcntl.LOCK_UN)  # before the next one's turn


async def _keep(cluster: Cluster, home: Path, using: anyio.CancelScope) -> None:
    """Start the server again whenever it dies, until `using` is cancelled: what was committed is there."""
    with using:
        while True:
            try:
                await _until_gone(cluster.process())
                logger.warning("Postgres does not run, and is started again", home=str(home))
                async with _turn(home):
                    await to_thread.run_sync(cluster.start)
            except (EmbeddedPostgresError, OSError) as error:
                logger.warning("Postgres cannot be started again yet", reason=str(error))
            await anyio.sleep(_AGAIN_S)


async def _until_gone(process: int | None) -> None:
    if process is None:
        return
    try:
        life = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        await anyio.wait_readable(life)
    finally:
        os.close(life)


@asynccontextmanager
async def beginning_postgres() -> AsyncGenerator[Callable[[], Awaitable[str]]]:
    """Start a temporary one while other things go on; yields what waits for it, and returns its URL."""
    found: list[str] = []
    is_there, leave = anyio.Event(), anyio.Event()

    async def hold() -> None:
        async with temporary_postgres() as url:
            found.append(url)
            is_there.set()
            with anyio.CancelScope(shield=True):  # what is cancelled beside it has its end to write yet
                await leave.wait()

    async def url() -> str:
        await is_there.wait()
        return found[0]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold)
        try:
            yield url
        finally:
            leave.set()


@asynccontextmanager
async def temporary_postgres() -> AsyncGenerator[str]:
    """Run one that nobody shares, with a home of its own, of which nothing is left."""
    await to_thread.run_sync(_sweep)
    # Errors in removing it are those of another process that sweeps, and removes it, too.
    with TemporaryDirectory(prefix=_TEMPORARY, dir=_PLACE, ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)  # noqa: PTH101, S103 -- it does not run as root, and has to come through
        async with embedded_postgres(Path(folder, "postgres")) as url:
            yield url


def _sweep() -> None:
    """Remove what temporary ones left whose process was killed: their servers still run."""
    for folder in Path(_PLACE).glob(f"{_TEMPORARY}*"):
        with suppress(OSError, EmbeddedPostgresError):
            about = folder.lstat()
            age = time.time() - about.st_mtime
            # A young one may be about to take its lock; of another user's folder, nothing is believed.
            if about.st_uid == os.geteuid() and age > _YOUNG_S:
                _sweep_one(folder, has_lock=age < _ABANDONED_S)


def _sweep_one(folder: Path, *, has_lock: bool) -> None:
    home = folder / "postgres"
    try:
        users = open_private(home / "users.lock", create=False)
    except FileNotFoundError:
        if not has_lock:
            shutil.rmtree(folder)
        return
    with users:
        if _try_lock(users):
            binaries = find_binaries()
            Cluster(home, copy_wheel(binaries, home) if os.geteuid() == 0 else binaries).stop()
            shutil.rmtree(folder)


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
