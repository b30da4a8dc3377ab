"""Which runs are at work here: claims them from the queue in Postgres, supervises them, lets go of them."""

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol
from uuid import UUID, uuid4

import anyio
import structlog
from msgspec.structs import replace

from agent_image.gateway.totals import Totals
from service import frames
from service.db.availability import outlast
from service.db.claims import Claim, ClaimRepository
from service.ending import Ending, run_ending
from service.eventlog import ClaimLostError, EventLog
from service.frames import Entry, FrameName, state_changed
from service.run import State
from service.tally import call_totals

logger: structlog.stdlib.BoundLogger = structlog.get_logger()

_LOOK_S = 1.0
"""Seconds between looks at the queue, for runs that another process added; our own wake us."""
_RENEW_S = 3.0
_CANCELLED = Ending(state=State.CANCELLED)
_LOST = Ending(state=State.LOST, code="service.lost", detail="the service that drove this run was lost")


class Flight(Protocol):
    """A run at work; `run` returns when nothing of it is left."""

    async def run(self) -> None: ...

    def cancel(self, *, at_once: bool = False) -> None:
        """Come to an end; `at_once` waits for nobody to leave anything. Both may be said again."""
        ...


class Dispatcher:
    """Every run in flight in this process.

    `start` makes a flight of a claim. Lives as long as `run`, in a task of the application: when that is cancelled,
    so are its flights, and each writes its end.
    """

    def __init__(
        self, *, max_runs: int, claims: ClaimRepository, log: EventLog, start: Callable[[Claim], Flight]
    ) -> None:
        self._owner = uuid4()
        self._slots = anyio.Semaphore(max_runs)
        self._claims = claims
        self._log = log
        self._start = start
        self._flights: dict[UUID, Flight] = {}
        self._wakeup = anyio.Event()

    def wake(self) -> None:
        """Look at the queue now, for there is something new."""
        self._wakeup.set()
        self._wakeup = anyio.Event()

    def cancel(self, run_id: UUID, *, at_once: bool = False) -> None:
        """Cancel a run if it is in flight here; elsewhere, its dispatcher reads the request with its lease."""
        if flight := self._flights.get(run_id):
            flight.cancel(at_once=at_once)

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_leases)
            while True:
                await self._slots.acquire()
                claim = await self._next()
                flight = self._flights[claim.run_id] = self._start(claim)
                tasks.start_soon(self._supervise, claim, flight)

    async def _next(self) -> Claim:
        """Wait for a run to be claimed. The wake-up is taken before the look, so none is missed."""
        while True:
            wakeup = self._wakeup
            if claim := await outlast(lambda: self._claims.claim(self._owner)):
                return claim
            with anyio.move_on_after(_LOOK_S):
                await wakeup.wait()

    async def _supervise(self, claim: Claim, flight: Flight) -> None:
        logger.info("run started", run_id=str(claim.run_id), fence=claim.fence)
        try:
            await flight.run()
            logger.info("run ended", run_id=str(claim.run_id))
        except Exception:  # a defect in one run must not end its neighbours
            logger.exception("run crashed", run_id=str(claim.run_id))
        finally:
            del self._flights[claim.run_id]
            self._slots.release()

    async def _keep_leases(self) -> None:
        """Renew ours, then end the runs that nobody drives: in this order, lest we find our own."""
        while True:
            ours = list(self._flights)
            held = await outlast(lambda ours=ours: self._claims.renew(self._owner, ours))
            for run_id in ours:
                if held.get(run_id, True):  # its cancel was asked for, or it is another dispatcher's by now
                    self.cancel(run_id, at_once=run_id not in held)
            while claim := await outlast(lambda: self._claims.claim_unattended(self._owner)):
                with suppress(ClaimLostError):  # it took so long that another one ended it
                    await outlast(lambda claim=claim: self._end(claim))
            await anyio.sleep(_RENEW_S)

    async def _end(self, claim: Claim) -> None:
        """End a run that nobody drives."""
        ending = _CANCELLED if claim.cancel_requested else _LOST
        logger.warning("unattended run ended", run_id=str(claim.run_id), state=ending.state)
        usage = await self._usage(claim.run_id)
        for index in range(claim.spec.variations):
            await self._claims.end_variation(claim, index, replace(ending, usage=usage.get(index)))
        endings, last_seq = await self._claims.endings(claim), claim.last_seq
        ours = [index for index, each in enumerate(endings) if each == ending]
        if ended := [_ended(index, replace(ending, usage=usage.get(index))) for index in ours]:
            last_seq = await self._log.append(claim, last_seq, ended)
        whole = run_ending(endings, ending)
        await self._log.end(claim, last_seq, _ended(None, whole), whole)

    async def _usage(self, run_id: UUID) -> dict[int, Totals]:
        """What each variation's model calls took, as far as the log has it."""
        found: dict[int, Totals] = {}
        last_seq = 0
        while segments := await self._log.read(run_id, last_seq):
            last_seq = segments[-1].last_seq
            for event in (event for segment in segments for event in frames.gateway_usage(segment.frames)):
                if event.variation is not None:
                    found[event.variation] = found.get(event.variation, Totals()) + call_totals(event)
        return found


def _ended(variation_id: int | None, ending: Ending) -> Entry:
    name = FrameName.RUN_COMPLETE if variation_id is None else FrameName.AGENT_COMPLETE
    return Entry(name=name, variation_id=variation_id, event=state_changed(ending), time=frames.now())
