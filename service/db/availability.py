"""Postgres that is away for a while: telling it from a statement that is wrong, and outlasting it."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

logger: structlog.stdlib.BoundLogger = structlog.get_logger()

T = TypeVar("T")

FAILURES = (DBAPIError, PoolTimeoutError, OSError, TimeoutError)
"""What a statement raises, among others where Postgres cannot be reached."""

# Connection exceptions, insufficient resources, and an administrator's shutdown: the same may work in a moment.
_CLASSES = ("08", "53", "57P")
_RETRY_S = 0.5


def is_unavailable(error: BaseException) -> bool:
    """True for an error after which the same statement may be tried again."""
    if isinstance(error, DBAPIError):
        state: str = getattr(error.orig, "sqlstate", "") or ""
        return error.connection_invalidated or isinstance(error.orig, OSError) or state.startswith(_CLASSES)
    return isinstance(error, FAILURES)


async def outlast(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try until Postgres answers; `attempt` must be one that may be carried out twice."""
    while True:
        try:
            return await attempt()
        except FAILURES as error:
            if not is_unavailable(error):
                raise
            logger.warning("waiting for postgres", reason=str(error).splitlines()[0])
        await anyio.sleep(_RETRY_S)
