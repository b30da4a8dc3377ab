"""The log of a run: numbered frames in Postgres that only grow, and readers who follow them.

Written in segments, one for all entries that wait, by the one process that holds the run's claim. A viewer is a cursor
and nothing else: a slow one costs nothing. What a viewer gets is committed, so an id once seen is never taken back.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import anyio
from msgspec import Struct
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from service import frames
from service.db.claims import Claim
from service.db.models import RunRow, SegmentRow
from service.ending import Ending
from service.frames import Entry

_READ_SEGMENTS = 100
"""Segments in one read, so that a long replay is neither one huge answer nor thousands of queries."""


class ClaimLostError(Exception):
    """The run belongs to another dispatcher by now, or has ended: nothing may be written."""

    def __init__(self, run_id: UUID) -> None:
        super().__init__(f"run {run_id} is no longer ours")


class Segment(Struct, frozen=True):
    """Consecutive frames, from number `first_seq`."""

    first_seq: int
    last_seq: int
    frames: bytes
    is_last: bool

    def after(self, seq: int) -> bytes:
        """The frames with numbers above `seq`."""
        if seq < self.first_seq:
            return self.frames
        return b"".join(frame + b"\n\n" for frame in self.frames.split(b"\n\n")[seq - self.first_seq + 1 : -1])


class EventLog:
    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions
        # Held by those who wait: a run that nobody follows leaves nothing here.
        self._wakeups: WeakValueDictionary[UUID, anyio.Event] = WeakValueDictionary()
        self._closed = False

    async def append(self, claim: Claim, last_seq: int, entries: Sequence[Entry]) -> int:
        """Write entries after number `last_seq`; returns the number of the last one.

        May be repeated after a failure that left open whether it had been carried out: it counts once.

        Raises:
            ClaimLostError: the claim is no longer good.

        """
        return await self._write(claim, last_seq, entries)

    async def end(self, claim: Claim, last_seq: int, entry: Entry, ending: Ending) -> int:
        """Write the log's last entry and the run's final state, at once: who sees one sees the other."""
        why = {"state": ending.state, "code": ending.code, "detail": ending.detail}
        ended = {**why, "ended_at": func.now(), "owner": None}
        return await self._write(claim, last_seq, [entry], **ended)

    async def _write(self, claim: Claim, last_seq: int, entries: Sequence[Entry], **ended: Any) -> int:
        first, last = last_seq + 1, last_seq + len(entries)
        encoded = [frames.encode(claim.run_id, claim.fence, seq, each) for seq, each in enumerate(entries, first)]
        # The number is taken under the run's row lock, so segments become visible in order: a reader who asks for
        # everything after 7 never finds 9 and then, too late, 8.
        bump = (
            update(RunRow)
            .where(RunRow.id == claim.run_id, RunRow.fence == claim.fence)
            .where(RunRow.last_seq == last_seq, RunRow.ended_at.is_(None))
            .values(last_seq=last, **ended)
            .returning(RunRow.id)
        )
        segment = {"run_id": claim.run_id, "first_seq": first, "last_seq": last, "frames": b"".join(encoded)}
        async with self._sessions.begin() as session:
            if await session.scalar(bump) is not None:
                await session.execute(insert(SegmentRow).values(**segment, is_last=bool(ended)))
            elif not await self._was_written(session, claim, first, last):
                raise ClaimLostError(claim.run_id)
        self._wake(claim.run_id)
        return last

    async def _was_written(self, session: AsyncSession, claim: Claim, first: int, last: int) -> bool:
        """Whether an earlier try at the same segment went through, though its answer was lost."""
        ours = select(RunRow.id).where(RunRow.id == claim.run_id, RunRow.fence == claim.fence, RunRow.last_seq == last)
        there = select(SegmentRow.run_id).where(SegmentRow.run_id == claim.run_id, SegmentRow.first_seq == first)
        return await session.scalar(ours.where(there.exists())) is not None

    async def read(self, run_id: UUID, after: int) -> list[Segment]:
        """Return segments with numbers above `after`, in order, a page of them; empty where there are none yet."""
        query = (
            select(SegmentRow.first_seq, SegmentRow.last_seq, SegmentRow.frames, SegmentRow.is_last)
            .where(SegmentRow.run_id == run_id, SegmentRow.last_seq > after)
            .order_by(SegmentRow.first_seq)
            .limit(_READ_SEGMENTS)
        )
        async with self._sessions() as session:
            return [Segment(*row) for row in await session.execute(query)]

    async def follow(self, run_id: UUID, after: int, heartbeat_s: float) -> AsyncGenerator[bytes]:
        """Yield frames with numbers above `after`, as they come, until the log ends or `close` is called.

        A number that the log does not have yet was never seen by anyone: then everything comes. A heartbeat comes after
        every `heartbeat_s` seconds of silence. The wake-up is taken before the read, so an append in between is not
        missed; nothing is yielded inside the cancel scope (PEP 789).
        """
        last_seq, has_ended = await self._reach(run_id)
        if after > last_seq:
            after = 0
        if has_ended and after == last_seq:
            return
        while not self._closed:
            wakeup = self._wakeups.setdefault(run_id, anyio.Event())
            segments = await self.read(run_id, after)
            for segment in segments:
                yield segment.after(after)
                after = segment.last_seq
                if segment.is_last:
                    return
            if segments:
                continue
            with anyio.move_on_after(heartbeat_s) as silence:
                await wakeup.wait()
            if silence.cancelled_caught:
                yield frames.HEARTBEAT

    async def _reach(self, run_id: UUID) -> tuple[int, bool]:
        """The number of the log's last event so far, and whether it is the last ever."""
        query = select(RunRow.last_seq, RunRow.ended_at.is_not(None)).where(RunRow.id == run_id)
        async with self._sessions() as session:
            last_seq, has_ended = (await session.execute(query)).one()
        return last_seq, has_ended

    def close(self) -> None:
        """End every `follow`, as the service stops; viewers come back with the last id that they saw."""
        self._closed = True
        for run_id in list(self._wakeups):
            self._wake(run_id)

    def _wake(self, run_id: UUID) -> None:
        if wakeup := self._wakeups.pop(run_id, None):
            wakeup.set()
