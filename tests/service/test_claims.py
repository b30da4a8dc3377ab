"""Runs in the hands of dispatchers, of which there may be several on one Postgres."""

from collections import Counter
from uuid import UUID, uuid4

import anyio
import pytest
from msgspec import structs
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from agent_image.events import Output, Usage
from agent_image.gateway.totals import Totals
from service.db.claims import Claim, ClaimRepository
from service.db.runs import RunRepository
from service.dispatch import Dispatcher, Flight
from service.ending import Ending
from service.eventlog import ClaimLostError, EventLog
from service.frames import Entry, FrameName, StateChanged, now, state_changed
from service.run import Assignment, Budget, McpServer, RunSpec, State

SPEC = RunSpec(
    repo_url="https://github.com/a/b",
    ref="",
    prompt="x",
    setup=[],
    image="x",
    timeout_s=1,
    agents=[
        Assignment(agent="claude-code", model="anthropic/claude-x", prompt_suffix="be brief"),
        Assignment(temperature=0.5),
    ],
    budget=Budget(usd=0.5, reserve=0.2),
    mcp_servers={"files": McpServer(serve="files"), "own": McpServer(command=["x"], env={"TOKEN": "secret"})},
)
ENTRY = Entry(name=FrameName.RUN_STATUS, variation_id=None, event=StateChanged(state=State.RUNNING), time=now())
LOST = Ending(state=State.LOST)


class Store:
    """What dispatchers have of Postgres."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        sessions = async_sessionmaker(database, expire_on_commit=False)
        self.runs, self.claims, self.log = RunRepository(sessions), ClaimRepository(sessions), EventLog(sessions)

    async def claim(self) -> Claim:
        await self.runs.add(SPEC)
        claim = await self.claims.claim(uuid4())
        assert claim is not None
        return claim

    async def expire(self) -> None:
        async with self._database.begin() as connection:
            await connection.execute(text("UPDATE runs SET lease_until = now() - interval '1 second'"))


@pytest.fixture
def store(database: AsyncEngine) -> Store:
    return Store(database)


async def test_who_claims_a_run_gets_it_as_it_was_stored(store: Store):
    assert (await store.claim()).spec == SPEC


async def test_a_view_has_no_value_of_a_server_s_variables(store: Store):
    run = await store.runs.add(SPEC)
    assert run.mcp_servers["own"].env == {"TOKEN": "***"}


async def test_what_model_calls_took_is_kept_for_each_variation_and_summed_for_the_run(store: Store):
    claim = await store.claim()
    assert (await store.runs.get(claim.run_id)).usage is None
    one = Totals(calls=2, input_tokens=10, output_tokens=20, cache_read_tokens=30, cache_write_tokens=40, cost_usd=0.5)
    await store.claims.end_variation(claim, 0, Ending(state=State.SUCCEEDED, usage=one))
    await store.claims.end_variation(claim, 1, Ending(state=State.FAILED))
    run = await store.runs.get(claim.run_id)
    assert [each.usage for each in run.variations] == [one, None]
    assert run.usage == one


@pytest.mark.parametrize(("cost", "whole"), [(0.25, 0.75), (0.0, 0.5), (None, None)])
async def test_what_a_run_cost_is_unknown_as_soon_as_one_part_is(store: Store, cost: float | None, whole: float | None):
    claim = await store.claim()
    for index, each in enumerate((0.5, cost)):
        usage = Totals(calls=1, input_tokens=2**40, cost_usd=each)
        await store.claims.end_variation(claim, index, Ending(state=State.SUCCEEDED, usage=usage))
    assert (await store.runs.get(claim.run_id)).usage == Totals(calls=2, input_tokens=2**41, cost_usd=whole)


async def test_a_run_whose_dispatcher_is_gone_ends_with_what_its_log_has_of_model_calls(store: Store):
    def start(claim: Claim) -> Flight:
        raise AssertionError(claim)

    claim = await store.claim()
    of_run = Entry(
        name=FrameName.RUN_OUTPUT, variation_id=None, event=Output(n=1, at=0, text='"type":"usage"'), time=now()
    )
    usage = Usage(n=2, at=0, model="m", variation=0, input_tokens=3, output_tokens=4, cost_usd=0.5)
    own = Entry(name=FrameName.AGENT_OUTPUT, variation_id=0, event=Usage(n=1, at=0, model="m"), time=now())
    await store.log.append(claim, 0, [of_run, structs.replace(of_run, event=usage), own])
    await store.log.append(claim, 3, [structs.replace(of_run, event=usage)])
    await store.expire()
    dispatcher = Dispatcher(max_runs=1, claims=store.claims, log=store.log, start=start)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        with anyio.fail_after(30):
            while (await store.runs.get(claim.run_id)).state is not State.LOST:  # noqa: ASYNC110
                await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()
    run = await store.runs.get(claim.run_id)
    took = Totals(calls=2, input_tokens=6, output_tokens=8, cost_usd=1.0)
    assert [each.usage for each in run.variations] == [took, None]
    told = b"".join(segment.frames for segment in await store.log.read(claim.run_id, 4))
    assert told.count(b'"calls":2') == 1


async def test_a_cost_is_shown_without_the_error_of_a_sum(store: Store):
    claim = await store.claim()
    for index, cost in enumerate((0.1 + 0.2, 0.6)):
        usage = Totals(calls=1, cost_usd=cost)
        await store.claims.end_variation(claim, index, Ending(state=State.SUCCEEDED, usage=usage))
        assert state_changed(Ending(state=State.SUCCEEDED, usage=usage)).usage == Totals(
            calls=1, cost_usd=round(cost, 1)
        )
    run = await store.runs.get(claim.run_id)
    assert [each.usage and each.usage.cost_usd for each in run.variations] == [0.3, 0.6]
    assert run.usage == Totals(calls=2, cost_usd=0.9)


async def test_a_run_is_claimed_once_however_many_want_it(store: Store):
    added = {(await store.runs.add(SPEC)).run_id for _ in range(20)}
    claimed: list[UUID] = []

    async def take() -> None:
        owner = uuid4()
        while claim := await store.claims.claim(owner):
            claimed.append(claim.run_id)

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(take)
    assert Counter(claimed) == Counter(added)


async def test_the_oldest_run_is_claimed_first(store: Store):
    added = [(await store.runs.add(SPEC)).run_id for _ in range(3)]
    claims = [await store.claims.claim(uuid4()) for _ in range(4)]
    assert [claim and claim.run_id for claim in claims] == [*added, None]


async def test_a_run_is_left_to_its_owner_for_as_long_as_its_lease(store: Store):
    claim = await store.claim()
    assert await store.claims.claim_unattended(uuid4()) is None
    await store.expire()
    taken = await store.claims.claim_unattended(uuid4())
    assert taken is not None
    assert (taken.run_id, taken.fence) == (claim.run_id, claim.fence + 1)
    assert await store.claims.claim_unattended(uuid4()) is None


async def test_a_renewal_keeps_a_lease_and_tells_of_a_cancel(store: Store):
    owner = uuid4()
    run = await store.runs.add(SPEC)
    assert await store.claims.claim(owner) is not None
    await store.expire()
    assert await store.claims.renew(owner, [run.run_id]) == {run.run_id: False}
    assert await store.claims.claim_unattended(uuid4()) is None
    await store.runs.request_cancel(run.run_id)
    assert await store.claims.renew(owner, [run.run_id]) == {run.run_id: True}
    assert await store.claims.renew(uuid4(), [run.run_id]) == {}


async def test_who_lost_a_claim_can_write_nothing_more(store: Store):
    old = await store.claim()
    last = await store.log.append(old, 0, [ENTRY])
    await store.expire()
    new = await store.claims.claim_unattended(uuid4())
    assert new is not None
    for attempt in (store.log.append(old, last, [ENTRY]), store.log.end(old, last, ENTRY, LOST)):
        with pytest.raises(ClaimLostError):
            await attempt
    assert not await store.claims.move(old, 0, State.RUNNING)
    assert not await store.claims.end_variation(old, 0, LOST)
    await store.claims.begin(old, "0" * 40)
    run = await store.runs.get(old.run_id)
    assert (run.state, run.commit, [each.state for each in run.variations]) == (State.STARTING, "", [State.QUEUED] * 2)
    assert await store.log.append(new, last, [ENTRY]) == last + 1


async def test_an_append_that_is_repeated_counts_once(store: Store):
    claim = await store.claim()
    assert [await store.log.append(claim, 0, [ENTRY, ENTRY]) for _ in range(2)] == [2, 2]
    (segment,) = await store.log.read(claim.run_id, 0)
    assert segment.frames.count(b"\nevent: ") == 2
    assert [await store.log.end(claim, 2, ENTRY, LOST) for _ in range(2)] == [3, 3]
    assert [each.is_last for each in await store.log.read(claim.run_id, 0)] == [False, True]


async def test_the_first_end_of_a_variation_is_the_one_that_counts(store: Store):
    claim = await store.claim()
    assert await store.claims.end_variation(claim, 0, Ending(state=State.SUCCEEDED, patch=b"x"))
    assert not await store.claims.end_variation(claim, 0, LOST)
    assert not await store.claims.move(claim, 0, State.RUNNING)
    assert (await store.runs.get(claim.run_id)).variations[0].state is State.SUCCEEDED


async def test_nothing_is_written_after_the_end(store: Store):
    claim = await store.claim()
    await store.log.end(claim, 0, ENTRY, LOST)
    with pytest.raises(ClaimLostError):
        await store.log.append(claim, 1, [ENTRY])
    await store.claims.begin(claim, "0" * 40)
    assert (await store.runs.get(claim.run_id)).state is State.LOST
    await store.expire()
    assert await store.claims.claim_unattended(uuid4()) is None
