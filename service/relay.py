"""A run's gateway at work: what it tells goes to the log, and is summed up by variation."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager, suppress

import anyio
import structlog

from agent_image import events
from agent_image.events import CallFailed, decode_line
from agent_image.gateway.totals import Totals
from service import frames
from service.ending import Ending
from service.engine import Line, Models, Sandbox, Serving
from service.errors import EngineError, EngineLostError
from service.record import Record
from service.run import State
from service.tally import Tally, call_totals

logger: structlog.stdlib.BoundLogger = structlog.get_logger()

_LEDGER_S = 3.0
_END_S = 10.0
_MOST_NOISE = 24
"""Lines of a gateway that are no events, for the service's log."""
_LONGEST_NOISE = 1000


class Relay:
    """The gateway of one run, or none where `models` is None; `stop` ends the run, which cannot go on without it."""

    def __init__(self, models: Models | None, record: Record, stop: Callable[[Ending], None]) -> None:
        self._record = record
        self._logger = logger.bind(run_id=str(record.run_id))
        self._stop = stop
        self._tally = Tally()
        self._noise = 0
        self._serving = anyio.Event()
        self._ended = anyio.Event()
        self._usage = {} if models is None else {grant.variation: Totals() for grant in models.plan.grants}
        self._failed: dict[int, CallFailed] = {}

    @asynccontextmanager
    async def at_work(self, sandbox: Sandbox) -> AsyncGenerator[None]:
        """Have the gateway starting, then running, in the block."""
        if not self._usage:
            yield
            return
        failure: EngineError | None = None
        # Shielded: what ends the run must not end the gateway before it has told what the run has spent.
        relaying = anyio.CancelScope(shield=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run, sandbox, relaying)
            try:
                yield
                with anyio.move_on_after(_END_S):
                    await sandbox.end_relay()
                    await self._ended.wait()
            except EngineError as error:  # the task group would wrap it
                failure = error
            finally:
                if not self._ended.is_set():
                    with anyio.move_on_after(_LEDGER_S, shield=True), suppress(EngineLostError):
                        await self.catch_up(sandbox)
                relaying.cancel()
        if failure is not None:
            raise failure

    async def serving(self, limit_s: float) -> None:
        """Wait until variations can ask it. `EngineError` where that takes longer than `limit_s`."""
        if not self._usage:
            return
        with anyio.move_on_after(limit_s):
            await self._serving.wait()
        if not self._serving.is_set():
            raise EngineError("gateway.failed", f"the gateway does not serve after {limit_s:g} seconds")

    async def catch_up(self, sandbox: Sandbox) -> None:
        """Take from its ledger what the live lines lack so far, if it can be read; `_run` tells whether it is dead.

        Raises:
            EngineLostError: the engine went away.

        """
        if not self._serving.is_set():
            return
        try:
            lines = await sandbox.final_output("gateway")
        except EngineLostError:
            raise
        except EngineError as error:
            self._logger.warning("ledger not read", code=error.code, reason=str(error))
            return
        for data in lines:
            await self._add(Line("gateway", data, frames.now()))

    def usage(self, index: int) -> Totals | None:
        """What a variation has used so far; None for one that asks no model."""
        return self._usage.get(index)

    def failure(self, index: int) -> CallFailed | None:
        """Why a variation's last call came to nothing, if it did."""
        return self._failed.get(index)

    async def _run(self, sandbox: Sandbox, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                async with aclosing(sandbox.relay()) as items:
                    async for item in items:
                        if isinstance(item, Serving):
                            self._serving.set()
                        else:
                            await self._add(item)
        except EngineLostError as error:
            self._stop(Ending(state=State.LOST, code=error.code, detail=str(error)))
        except EngineError as error:
            self._stop(Ending(state=State.FAILED, code=error.code, detail=str(error)))
        finally:
            self._ended.set()

    async def _add(self, line: Line) -> None:
        event = decode_line(line.data)
        if event.n == 0:
            self._tell_noise(line.data)
        elif self._tally.is_new(event):
            self._sum_up(event)
            await self._record.event(None, event, line.time)

    def _tell_noise(self, line: bytes) -> None:
        """What it says to its operator, such as the reason of its death, is none of the run's log."""
        self._noise += 1
        if self._noise <= _MOST_NOISE:
            self._logger.info("gateway said", line=line[:_LONGEST_NOISE].decode(errors="replace"))

    def _sum_up(self, event: events.Event) -> None:
        if isinstance(event, CallFailed):
            self._failed[event.variation] = event
        elif isinstance(event, events.Usage) and event.variation in self._usage:
            self._failed.pop(event.variation, None)
            self._usage[event.variation] += call_totals(event)
