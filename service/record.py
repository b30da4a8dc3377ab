"""What is written of one run while it goes on: states, as compare-and-set, and the log, in the order of events."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from msgspec import structs

from agent_image.events import Event
from agent_image.gateway.totals import Totals
from service import frames
from service.db.availability import outlast
from service.db.claims import Claim, ClaimRepository
from service.ending import Ending, run_ending
from service.eventlog import EventLog
from service.frames import Entry, FrameName, StateChanged, state_changed
from service.logwriter import LogWriter
from service.run import State


class Record:
    """The record of the run that `claim` holds. Postgres may be away for a while; then writing takes as long.

    Any of these raises `ClaimLostError` where the run is another dispatcher's by now.
    """

    def __init__(self, claim: Claim, claims: ClaimRepository, log: EventLog) -> None:
        self.run_id = claim.run_id
        self._claim = claim
        self._claims = claims
        self.writer = LogWriter(log, claim)
        """Has to run, in a task of its own, for as long as anything is written."""
        self._endings: dict[int, Ending] = {}

    async def start(self) -> None:
        await self._say(StateChanged(state=State.STARTING))

    async def begin(self, commit: str) -> None:
        """The workspace is ready, at `commit`, and the variations start."""
        await outlast(partial(self._claims.begin, self._claim, commit))
        await self._say(StateChanged(state=State.RUNNING, commit=commit))

    async def move(self, index: int, state: State) -> None:
        """Variation `index` is in another state, which is not its last."""
        await outlast(partial(self._claims.move, self._claim, index, state))
        await self._say(StateChanged(state=state), variation_id=index)

    async def event(self, variation_id: int | None, event: Event, time: datetime) -> None:
        """Something happened in a variation's container, or with None, in the setup's."""
        name = FrameName.RUN_OUTPUT if variation_id is None else FrameName.AGENT_OUTPUT
        await self.writer.add(Entry(name=name, variation_id=variation_id, event=event, time=time))

    async def end_variation(self, index: int, ending: Ending) -> None:
        await outlast(partial(self._claims.end_variation, self._claim, index, ending))
        self._endings[index] = ending
        await self._say(state_changed(ending), variation_id=index, name=FrameName.AGENT_COMPLETE)

    async def end(self, stopped: Ending | None, usage: Callable[[int], Totals | None]) -> None:
        """End what has not ended, then the run; `stopped` is why its work did not come to its end, if it did not."""
        for index in self._endings.keys() ^ set(range(self._claim.spec.variations)):
            assert stopped is not None, "the work comes to its end when every variation has"
            # What had no part in the run's failure did not fail.
            failed = stopped.state is State.FAILED
            ending = Ending(state=State.CANCELLED) if failed else stopped
            await self.end_variation(index, structs.replace(ending, usage=usage(index)))
        ending = run_ending([self._endings[index] for index in sorted(self._endings)], stopped)
        entry = Entry(name=FrameName.RUN_COMPLETE, variation_id=None, event=state_changed(ending), time=frames.now())
        await self.writer.end(entry, ending)

    async def _say(
        self, event: StateChanged, *, variation_id: int | None = None, name: FrameName = FrameName.RUN_STATUS
    ) -> None:
        await self.writer.add(Entry(name=name, variation_id=variation_id, event=event, time=frames.now()))
