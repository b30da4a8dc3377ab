"""Runs over HTTP."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import BodyKwarg, FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from service.db.runs import RunRepository
from service.dispatch import Dispatcher
from service.engine import Engine
from service.errors import UnavailableError
from service.eventlog import EventLog
from service.request import EXAMPLES, RunRequest
from service.routes.body import strict
from service.rules import Rules
from service.run import Accepted, RunPage, RunView, Selection, status_url, stream_url
from service.settings import Settings
from service.stream import event_stream
from service.validate import to_spec

_RUN_BODY = BodyKwarg(examples=[Example(summary=summary, value=body) for summary, body in EXAMPLES.items()])


class RunController(Controller):
    path = "/api/v1/runs"
    tags: Sequence[str] | None = ("runs",)

    @post(status_code=HTTP_202_ACCEPTED, before_request=strict(RunRequest), summary="Start a run")
    async def create(
        self,
        *,
        data: Annotated[RunRequest, _RUN_BODY],
        rules: NamedDependency[Rules],
        engine: NamedDependency[Engine],
        runs: NamedDependency[RunRepository],
        dispatcher: NamedDependency[Dispatcher],
    ) -> Accepted:
        spec = await to_spec(data, rules)
        health = await engine.health()
        if not health.ok:
            raise UnavailableError("engine.unavailable", health.detail)
        run = await runs.add(spec)
        dispatcher.wake()
        return Accepted(run.run_id, stream_url(run.run_id), status_url(run.run_id))

    @get(summary="List runs, newest first")
    async def page(
        self,
        runs: NamedDependency[RunRepository],
        limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
        before: FromQuery[UUID | None] = None,
    ) -> RunPage:
        found = await runs.page(limit=limit, before=before)
        more = len(found) == limit
        return RunPage(list(found), f"{self.path}?limit={limit}&before={found[-1].run_id}" if more else None)

    @get(["/{run_id:uuid}", "/{run_id:uuid}/status"], summary="A run and its variations")
    async def view(self, run_id: FromPath[UUID], runs: NamedDependency[RunRepository]) -> RunView:
        return await runs.get(run_id)

    @get(["/{run_id:uuid}/stream", "/{run_id:uuid}/stream/redis"], summary="The run's log, live, as server-sent events")
    async def stream(
        self,
        *,
        run_id: FromPath[UUID],
        settings: NamedDependency[Settings],
        runs: NamedDependency[RunRepository],
        log: NamedDependency[EventLog],
        last_event_id: Annotated[str, HeaderParameter(name="Last-Event-ID")] = "",
        after: FromQuery[str] = "",
    ) -> Stream:
        await runs.get(run_id)  # a 404 has to come before the stream begins
        return event_stream(log, run_id, last_event_id=last_event_id or after, heartbeat_s=settings.heartbeat)

    @get("/{run_id:uuid}/variations/{index:int}/patch", summary="A variation's patch", media_type="text/x-patch")
    async def patch(
        self, run_id: FromPath[UUID], index: FromPath[int], runs: NamedDependency[RunRepository]
    ) -> Response[bytes]:
        name = f'attachment; filename="{run_id}-{index}.patch"'
        return Response(
            await runs.patch(run_id, index), media_type="text/x-patch", headers={"Content-Disposition": name}
        )

    @post(
        "/{run_id:uuid}/select",
        status_code=HTTP_200_OK,
        before_request=strict(Selection),
        summary="Choose a variation",
    )
    async def select(
        self, run_id: FromPath[UUID], data: JSONBody[Selection], runs: NamedDependency[RunRepository]
    ) -> RunView:
        return await runs.select(run_id, int(data.variation_id))

    @delete("/{run_id:uuid}", status_code=HTTP_202_ACCEPTED, summary="Cancel a run")
    async def cancel(
        self, run_id: FromPath[UUID], runs: NamedDependency[RunRepository], dispatcher: NamedDependency[Dispatcher]
    ) -> RunView:
        run = await runs.request_cancel(run_id)
        dispatcher.cancel(run_id)
        return run
