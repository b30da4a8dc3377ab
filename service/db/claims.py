"""Runs in the hands of a dispatcher: leases, fences, and the changes of state that only their holder may make.

Each method is one short transaction, each change of state a compare-and-set. Leases are by Postgres' clock, so that of
this machine does not matter; the fence grows with each claim, so an owner that was paused and comes back is refused.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from service.db.models import RunRow, VariationRow
from service.ending import Ending
from service.run import OPEN, Assignment, RunSpec, State

LEASE = timedelta(seconds=15)
"""How long a run is a dispatcher's without a renewal."""


class Claim(Struct, frozen=True, kw_only=True):
    """A run in the hands of one dispatcher; writes name its `fence`, so that a later claim shuts them out."""

    run_id: UUID
    fence: int
    last_seq: int
    """The number of the log's last event when the claim was made."""
    cancel_requested: bool
    spec: RunSpec


class ClaimRepository:
    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions

    async def claim(self, owner: UUID) -> Claim | None:
        """Take the oldest queued run, or None; several dispatchers never take the same."""
        queued = select(RunRow.id).where(RunRow.state == State.QUEUED, RunRow.cancel_requested_at.is_(None))
        return await self._claim(owner, queued, state=State.STARTING, started_at=func.now())

    async def claim_unattended(self, owner: UUID) -> Claim | None:
        """Take, to end it, a run whose dispatcher is gone, or that was cancelled before one had it; or None."""
        return await self._claim(owner, select(RunRow.id).where(_unattended()))

    async def _claim(self, owner: UUID, which: Select[UUID], **values: Any) -> Claim | None:
        oldest = which.order_by(RunRow.created_at).limit(1).with_for_update(skip_locked=True).scalar_subquery()
        lease = {"owner": owner, "lease_until": func.now() + LEASE, "fence": RunRow.fence + 1}
        query = update(RunRow).where(RunRow.id == oldest).values(**lease, **values).returning(RunRow.id)
        async with self._sessions.begin() as session:
            run_id = await session.scalar(query)
            return None if run_id is None else _claim(await session.get_one(RunRow, run_id))

    async def renew(self, owner: UUID, run_ids: Sequence[UUID]) -> dict[UUID, bool]:
        """Prolong the leases of `owner`; what is still its own, and whether its cancel was asked for."""
        query = (
            update(RunRow)
            .where(RunRow.id.in_(run_ids), RunRow.owner == owner, RunRow.ended_at.is_(None))
            .values(lease_until=func.now() + LEASE)
            .returning(RunRow.id, RunRow.cancel_requested_at.is_not(None).label("asked"))
        )
        async with self._sessions.begin() as session:
            rows = await session.execute(query)
            return {row.id: row.asked for row in rows}

    async def begin(self, claim: Claim, commit: str) -> None:
        """Record that the workspace is ready and the variations start."""
        query = update(RunRow).where(*_held(claim)).values(state=State.RUNNING, commit=commit)
        async with self._sessions.begin() as session:
            await session.execute(query)

    async def move(self, claim: Claim, index: int, state: State) -> bool:
        """Move an open variation to another open state; False if it has ended, or the run is another's by now."""
        query = update(VariationRow).where(*_open(claim, index)).values(state=state).returning(VariationRow.index)
        async with self._sessions.begin() as session:
            return await session.scalar(query) is not None

    async def end_variation(self, claim: Claim, index: int, ending: Ending) -> bool:
        """End a variation; False if it had ended before: the first end is the one that counts."""
        query = (
            update(VariationRow)
            .where(*_open(claim, index))
            .values(
                state=ending.state,
                code=ending.code,
                detail=ending.detail,
                exit=ending.exit,
                seconds=ending.seconds,
                patch=ending.patch,
                patch_bytes=None if ending.patch is None else len(ending.patch),
                usage=ending.usage,
            )
            .returning(VariationRow.index)
        )
        async with self._sessions.begin() as session:
            return await session.scalar(query) is not None

    async def endings(self, claim: Claim) -> list[Ending]:
        """How the variations ended, all of which have, in their order; state and reason alone."""
        reasons = select(VariationRow.state, VariationRow.code, VariationRow.detail)
        query = reasons.where(VariationRow.run_id == claim.run_id).order_by(VariationRow.index)
        async with self._sessions() as session:
            rows = await session.execute(query)
            return [Ending(state=state, code=code, detail=detail) for state, code, detail in rows]


def _held(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    return (RunRow.id == claim.run_id, RunRow.fence == claim.fence, RunRow.ended_at.is_(None))


def _open(claim: Claim, index: int) -> tuple[ColumnElement[bool], ...]:
    held = select(RunRow.id).where(*_held(claim)).exists()
    return (VariationRow.run_id == claim.run_id, VariationRow.index == index, VariationRow.state.in_(OPEN), held)


def _unattended() -> ColumnElement[bool]:
    queued = RunRow.state == State.QUEUED
    over = or_(RunRow.lease_until.is_(None), RunRow.lease_until < func.now())
    abandoned = RunRow.state.in_(OPEN - {State.QUEUED}) & over
    return or_(abandoned, queued & RunRow.cancel_requested_at.is_not(None))


def _claim(row: RunRow) -> Claim:
    spec = RunSpec(
        repo_url=row.repo_url,
        ref=row.ref,
        prompt=row.prompt,
        setup=row.setup,
        image=row.image,
        timeout_s=row.timeout_s,
        agents=[_assignment(each) for each in row.variations],
        budget=row.budget,
        mcp_servers=row.mcp_servers,
    )
    return Claim(
        run_id=row.id,
        fence=row.fence,
        last_seq=row.last_seq,
        cancel_requested=row.cancel_requested_at is not None,
        spec=spec,
    )


def _assignment(row: VariationRow) -> Assignment:
    return Assignment(
        agent=row.agent,
        model=row.model,
        temperature=row.temperature,
        prompt_suffix=row.prompt_suffix,
        command=row.command,
    )
