"""Runs as callers see and order them, in Postgres. Each method is a short transaction."""

from collections.abc import Sequence
from uuid import UUID, uuid4

from msgspec.structs import asdict, replace
from sqlalchemy import func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import undefer

from agent_image.gateway.totals import Totals
from service.db.models import RunRow, VariationRow
from service.errors import ConflictError, NotFoundError
from service.run import (
    ENDED,
    OPEN,
    McpServer,
    RunSpec,
    RunView,
    State,
    VariationView,
    patch_url,
    status_url,
    stream_url,
)
from service.tally import rounded


class RunRepository:
    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions

    async def add(self, spec: RunSpec) -> RunView:
        """Store a new run, queued."""
        row = RunRow(
            id=uuid4(),
            repo_url=spec.repo_url,
            ref=spec.ref,
            prompt=spec.prompt,
            setup=spec.setup,
            image=spec.image,
            timeout_s=spec.timeout_s,
            budget=spec.budget,
            mcp_servers=spec.mcp_servers,
            variations=[VariationRow(index=index, **asdict(each)) for index, each in enumerate(spec.agents)],
        )
        async with self._sessions.begin() as session:
            session.add(row)
        return await self.get(row.id)

    async def get(self, run_id: UUID) -> RunView:
        """Return one run, or raise `NotFoundError`."""
        async with self._sessions() as session:
            row = await session.get(RunRow, run_id)
            if row is None:
                raise NotFoundError("run.not_found", f"run {run_id} does not exist")
            return _view(row)

    async def page(self, *, limit: int, before: UUID | None) -> Sequence[RunView]:
        """Up to `limit` runs, newest first; those after run `before` if it is given."""
        query = select(RunRow).order_by(RunRow.created_at.desc(), RunRow.id.desc()).limit(limit)
        if before is not None:
            mark = select(RunRow.created_at, RunRow.id).where(RunRow.id == before).scalar_subquery()
            query = query.where(tuple_(RunRow.created_at, RunRow.id) < mark)
        async with self._sessions() as session:
            return [_view(row) for row in await session.scalars(query)]

    async def patch(self, run_id: UUID, index: int) -> bytes:
        """Return a variation's patch; empty where the agent changed nothing. `NotFoundError` where there is none."""
        _variation(await self.get(run_id), index)
        key = {"run_id": run_id, "index": index}
        async with self._sessions() as session:
            row = await session.get_one(VariationRow, key, options=[undefer(VariationRow.patch)])
        if row.patch is None:
            raise NotFoundError("patch.none", f"variation {index} of run {run_id} is {row.state} and has no patch")
        return row.patch

    async def request_cancel(self, run_id: UUID) -> RunView:
        """Ask for a run's end; its dispatcher sees to it. `ConflictError` where it has ended."""
        query = (
            update(RunRow)
            .where(RunRow.id == run_id, RunRow.state.in_(OPEN))
            .values(cancel_requested_at=func.coalesce(RunRow.cancel_requested_at, func.now()))
            .returning(RunRow.id)
        )
        async with self._sessions.begin() as session:
            asked = await session.scalar(query)
        run = await self.get(run_id)
        if asked is None:
            raise ConflictError("run.ended", f"run {run_id} has already ended: {run.state}", state=run.state)
        return run

    async def select(self, run_id: UUID, index: int) -> RunView:
        """Store a person's choice of a variation; it must have a patch."""
        run = await self.get(run_id)
        if run.state not in ENDED:
            raise ConflictError("run.not_ended", f"run {run_id} is still {run.state}", state=run.state)
        variation = _variation(run, index)
        if variation.patch_bytes is None:
            state = variation.state
            raise ConflictError("variation.no_patch", f"variation {index} is {state} and has no patch", state=state)
        async with self._sessions.begin() as session:
            await session.execute(update(RunRow).where(RunRow.id == run_id).values(selected=index))
        return await self.get(run_id)


def _variation(run: RunView, index: int) -> VariationView:
    if not 0 <= index < len(run.variations):
        raise NotFoundError("variation.not_found", f"run {run.run_id} has no variation {index}")
    return run.variations[index]


def _view(row: RunRow) -> RunView:
    usages = [each.usage for each in row.variations if each.usage]
    return RunView(
        run_id=row.id,
        state=row.state,
        code=row.code,
        detail=row.detail,
        repo_url=row.repo_url,
        ref=row.ref,
        commit=row.commit,
        prompt=row.prompt,
        setup=row.setup,
        image=row.image,
        timeout_s=row.timeout_s,
        budget=row.budget,
        mcp_servers={name: _without_values(server) for name, server in row.mcp_servers.items()},
        variations=[_variation_view(each) for each in row.variations],
        usage=rounded(sum(usages, start=Totals())) if usages else None,
        selected=row.selected,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        stream_url=stream_url(row.id),
        status_url=status_url(row.id),
    )


def _without_values(server: McpServer) -> McpServer:
    """Leave out what may be secret: whoever may see a run need not be who started it."""
    return replace(server, env=dict.fromkeys(server.env, "***"))


def _variation_view(row: VariationRow) -> VariationView:
    return VariationView(
        variation_id=row.index,
        state=row.state,
        agent=row.agent,
        model=row.model,
        temperature=row.temperature,
        prompt_suffix=row.prompt_suffix,
        command=row.command,
        exit=row.exit,
        seconds=row.seconds,
        code=row.code,
        detail=row.detail,
        patch_bytes=row.patch_bytes,
        no_changes=row.state is State.SUCCEEDED and row.patch_bytes == 0,
        patch_url=None if row.patch_bytes is None else patch_url(row.run_id, row.index),
        usage=rounded(row.usage),
    )
