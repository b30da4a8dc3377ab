"""What a failed call to a Dagger engine means."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import dagger

from service.errors import EngineError, EngineLostError

_SIGN_OF_LIFE_S = 5.0


@asynccontextmanager
async def engine_loss(client: dagger.Client) -> AsyncGenerator[None]:
    """Turn the failures of calls in the block into `EngineLostError` where the engine is gone.

    An engine that ends fails what it runs with an error like any other; whether it is still there tells them apart.
    """
    try:
        yield
    except dagger.QueryError as error:
        if not await _answers(client):
            raise EngineLostError(message_of(error)) from error
        raise EngineError("engine.failed", message_of(error)) from error
    except dagger.ClientError as error:
        raise EngineLostError(message_of(error)) from error


async def _answers(client: dagger.Client) -> bool:
    with anyio.move_on_after(_SIGN_OF_LIFE_S):
        try:
            await client.version()
        except dagger.ClientError:
            return False
        return True
    return False


def message_of(error: Exception, *, said: str = "") -> str:
    """A message in one line of at most 500 characters, without the trace id that the engine appends."""
    return " ".join((said or str(error)).partition("[traceparent:")[0].split())[:500]
