"""The writing end of one run's log: what waits goes out in one segment, in the order in which it came."""

from functools import partial

import anyio

from service.db.availability import outlast
from service.db.claims import Claim
from service.ending import Ending
from service.eventlog import ClaimLostError, EventLog
from service.frames import Entry

_WAITING = 1_000
_SEGMENT = 500
"""Entries: that may wait, and in one segment. Whoever adds more waits, and so, in the end, does the container."""


class LogWriter:
    """Lives as long as `run`, in a task of its own; while Postgres is away it waits, and loses nothing."""

    def __init__(self, log: EventLog, claim: Claim) -> None:
        self._log = log
        self._claim = claim
        self._last_seq = claim.last_seq
        self._send, self._receive = anyio.create_memory_object_stream[Entry](_WAITING)
        self._drained = anyio.Event()
        self._scope = anyio.CancelScope(shield=True)

    async def add(self, entry: Entry) -> None:
        """Put an entry behind those that wait. `ClaimLostError` where nothing may be written any more."""
        try:
            await self._send.send(entry)
        except anyio.BrokenResourceError as error:
            raise ClaimLostError(self._claim.run_id) from error

    async def run(self) -> None:
        """Write what is added, until `end` or `stop`; shielded, for a run that is cancelled still has its end to write.

        Raises:
            ClaimLostError: the run is another dispatcher's by now.

        """
        try:
            with self._scope, self._receive:
                async for entry in self._receive:
                    batch = [entry, *self._waiting()]
                    append = partial(self._log.append, self._claim, self._last_seq, batch)
                    self._last_seq = await outlast(append)
        finally:
            self._drained.set()

    def _waiting(self) -> list[Entry]:
        count = min(self._receive.statistics().current_buffer_used, _SEGMENT)
        return [self._receive.receive_nowait() for _ in range(count)]

    async def end(self, entry: Entry, ending: Ending) -> None:
        """Write what waits, then the log's last entry together with the run's final state."""
        self._send.close()
        await self._drained.wait()
        await outlast(partial(self._log.end, self._claim, self._last_seq, entry, ending))

    def stop(self) -> None:
        """Give up what waits: the run's end was written, or cannot be."""
        self._send.close()
        self._scope.cancel()
