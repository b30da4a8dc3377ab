"""A call to the engine whose exec prints: it is read while it runs, and its end waits for its last line."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

import anyio

from service.engine.dagger.failure import engine_loss
from service.engine.dagger.session import Session
from service.engine.dagger.telemetry import call_aborted
from service.engine.output import Output
from service.errors import EngineError, EngineLostError

_GONE_S = 2.0
"""How long an aborted call may take to end in the engine: a few milliseconds, or it was not in any call just then."""

T = TypeVar("T")


class Call(Generic[T]):
    """A call to the engine whose exec prints to `output`, in a task of its own: it is read while it runs."""

    def __init__(
        self, session: Session, output: Output, work: Callable[[Output], Awaitable[T]], *, prints: bool
    ) -> None:
        self._session = session
        self._output = output
        self._work = work
        self._prints = prints
        self._scope = anyio.CancelScope()
        self._ended: T | EngineError | None = None

    async def run(self) -> None:
        try:
            with self._scope, self._output.traced():
                async with engine_loss(self._session.client):
                    self._ended = await self._work(self._output)
        except EngineError as error:
            self._ended = error
        if self._ended is not None and self._prints:
            await self._output.settle()
        self._output.end()

    def result(self) -> T:
        assert self._ended is not None, "the output ends after the call"
        if isinstance(self._ended, EngineError):
            raise self._ended
        return self._ended

    async def stop(self) -> None:
        """Abort the call if it still runs, and wait until the engine has killed its exec; bounded: it may be gone."""
        if self._ended is None:
            self._scope.cancel()
            with suppress(EngineLostError), anyio.move_on_after(_GONE_S, shield=True):
                await call_aborted(self._session, self._output.trace_id)
