"""The processes that are measured: whatever happens, they are gone before the bench is."""

import anyio
import structlog
from anyio.abc import Process

logger: structlog.stdlib.BoundLogger = structlog.get_logger()


async def end(process: Process, grace_s: float) -> None:
    """Ask it to end, wait, and kill it where it has not; not to be cancelled."""
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            process.terminate()
            with anyio.move_on_after(grace_s):
                await process.wait()
        if process.returncode is None:
            logger.warning("process did not end and was killed", pid=process.pid, after_s=grace_s)
            process.kill()
        await process.aclose()
