"""Drive one run: prepare → N variations side by side → patches → the state that comes of them.

The engine yields, this writes, streams read: nothing calls back.
"""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Literal

import anyio
import msgspec
from msgspec import structs

from agent_image.events import decode_line
from agent_image.gateway.plan import Patience
from agent_image.gateway.prices import PriceList
from service import frames
from service.db.claims import Claim, ClaimRepository
from service.ending import Ending, variation_ending
from service.engine import Ended, Engine, Line, Models, Prepared, Sandbox, SandboxSpec, Task
from service.errors import EngineError, EngineLostError, PatchError, PrepareError
from service.eventlog import EventLog
from service.gateway import models_of
from service.providers import Providers
from service.record import Record
from service.relay import Relay
from service.repo_url import AllowEntry, RepoUrlError, parse_repo_url
from service.run import State
from service.tally import Tally

_FINISH_S = 60.0
"""Seconds for writing the end of a run whose work was stopped; Postgres may have to come back in them."""

_LEAVE_S = 5.0
"""Seconds for agents to end, and their patches to be made, once somebody cancels."""

_CANCELLED = Ending(state=State.CANCELLED)
_STOPPED = Ending(state=State.LOST, code="service.stopped", detail="the service was stopped")
_DEFECT = Ending(state=State.FAILED, code="internal", detail="a defect of ours; the service's log has it")


class Execution:
    """One run at work, in the hands of whoever holds `claim`."""

    def __init__(
        self,
        claim: Claim,
        *,
        allow: Sequence[AllowEntry],
        engine: Engine,
        providers: Providers,
        prices: PriceList,
        patience: Patience,
        claims: ClaimRepository,
        log: EventLog,
        clone_timeout_s: float,
        setup_timeout_s: float,
    ) -> None:
        self._claim = claim
        self._spec = claim.spec
        self._engine = engine
        self._providers = providers
        self._prices = prices
        self._patience = patience
        self._record = Record(claim, claims, log)
        self._relay = Relay(None, self._record, self._stop)
        self._allow = allow
        self._clone_timeout_s = clone_timeout_s
        self._setup_timeout_s = setup_timeout_s
        self._work = anyio.CancelScope()
        self._cancelled = anyio.Event()
        self._can_leave = False
        """Whether there are agents that a cancel lets leave what they made."""
        self._stopped: Ending | None = _DEFECT
        """Why the work did not come to its end; None once it has."""

    def cancel(self, *, at_once: bool = False) -> None:
        """End the run early, because somebody asked; `run` returns when its containers are gone.

        Agents are let leave what they made so far, where they can, unless it is to be `at_once`.
        """
        self._cancelled.set()
        if at_once or not self._can_leave:
            self._stop(_CANCELLED)

    def _stop(self, ending: Ending) -> None:
        self._note(ending)
        self._work.cancel()

    def _note(self, ending: Ending | None) -> None:
        """Have the run end so, unless somebody has cancelled it."""
        self._stopped = _CANCELLED if self._cancelled.is_set() else ending

    async def run(self) -> None:
        """Drive the run to its last log line, whatever happens on the way.

        Raises:
            ClaimLostError: another dispatcher has the run; nothing more was written.

        """
        async with anyio.create_task_group() as writing:
            writing.start_soon(self._record.writer.run)
            try:
                with self._work:
                    await self._drive()
            except anyio.get_cancelled_exc_class():
                self._note(_STOPPED)
                raise
            finally:
                with anyio.move_on_after(_FINISH_S, shield=True):
                    await self._record.end(self._stopped, self._relay.usage)
                self._record.writer.stop()

    async def _drive(self) -> None:
        await self._record.start()
        try:
            models = await models_of(self._spec, self._providers, self._prices, self._patience)
            relay = self._relay = Relay(models, self._record, self._stop)
            async with self._engine.open(self._sandbox_spec(models)) as sandbox, relay.at_work(sandbox):
                await self._prepare(sandbox)
                await relay.serving(self._setup_timeout_s)
                await self._vary_all(sandbox)
            self._note(None)
        except EngineLostError as error:
            self._note(Ending(state=State.LOST, code=error.code, detail=str(error)))
        except EngineError as error:
            self._note(Ending(state=State.FAILED, code=error.code, detail=str(error)))

    def _sandbox_spec(self, models: Models | None) -> SandboxSpec:
        try:
            url = parse_repo_url(self._spec.repo_url, self._allow)
        except RepoUrlError as error:  # the operator's rules have changed since the request
            raise PrepareError(error.code, str(error)) from error
        if bool(self._spec.image) != self._engine.capabilities.foreign_images:
            engine, image = self._engine.capabilities.name, self._spec.image or "none"
            raise PrepareError("image.foreign", f"asked for on another engine than {engine}: its image is {image}")
        return SandboxSpec(
            run_id=self._claim.run_id,
            repo_url=url,
            ref=self._spec.ref,
            setup=self._spec.setup,
            image=self._spec.image,
            clone_timeout_s=self._clone_timeout_s,
            setup_timeout_s=self._setup_timeout_s,
            models=models,
        )

    async def _prepare(self, sandbox: Sandbox) -> None:
        tally = Tally()
        try:
            async with aclosing(sandbox.prepare()) as items:
                async for item in items:
                    if isinstance(item, Prepared):
                        await self._record.begin(item.commit)
                    else:
                        await self._add_line(tally, None, item)
        finally:
            if self._spec.setup and not self._work.cancel_called:
                await self._complete(sandbox, tally, "setup")

    async def _vary_all(self, sandbox: Sandbox) -> None:
        self._can_leave = self._engine.capabilities.patch_after_cancel
        async with anyio.create_task_group() as beside:
            beside.start_soon(self._let_leave, sandbox)
            async with anyio.create_task_group() as variations:
                for index in range(self._spec.variations):
                    variations.start_soon(self._vary, sandbox, index)
            beside.cancel_scope.cancel()

    async def _let_leave(self, sandbox: Sandbox) -> None:
        """Once somebody cancels, let agents end and leave what they made, for a while."""
        await self._cancelled.wait()
        await sandbox.end_agents()
        await anyio.sleep(_LEAVE_S)
        self._stop(_CANCELLED)

    async def _vary(self, sandbox: Sandbox, index: int) -> None:
        await self._record.move(index, State.STARTING)
        try:
            ending = await self._work_on(sandbox, index)
        except EngineLostError as error:
            ending = Ending(state=State.LOST, code=error.code, detail=str(error))
        except EngineError as error:
            ending = Ending(state=State.FAILED, code=error.code, detail=str(error))
        if self._cancelled.is_set() and ending.state is not State.SUCCEEDED:
            ending = Ending(state=State.CANCELLED, seconds=ending.seconds, patch=ending.patch)
        await self._record.end_variation(index, structs.replace(ending, usage=self._relay.usage(index)))

    def _task(self, index: int) -> Task:
        assignment = self._spec.agents[index]
        model = self._providers.resolve(assignment.model) if assignment.asks_a_provider else None
        servers = self._spec.mcp_servers
        return Task(
            prompt=self._spec.prompt_of(index),
            agent=assignment.agent,
            model=assignment.model if model is None else model.name,
            wire=None if model is None else model.provider.wire,
            temperature=assignment.temperature,
            command=assignment.command,
            mcp=msgspec.json.encode(servers).decode() if servers else "",
            timeout_s=self._spec.timeout_s,
        )

    async def _work_on(self, sandbox: Sandbox, index: int) -> Ending:
        """Let the agent work, and take its patch."""
        tally, ended, has_begun = Tally(), Ended(0), False
        async with aclosing(sandbox.vary(index, self._task(index))) as items:
            async for item in items:
                if isinstance(item, Ended):
                    ended = item
                    continue
                if not has_begun:
                    has_begun = True
                    await self._record.move(index, State.RUNNING)
                await self._add_line(tally, index, item)
        await self._complete(sandbox, tally, index)
        await self._relay.catch_up(sandbox)
        ending = variation_ending(tally, ended.exit, self._relay.failure(index), code=ended.code, detail=ended.detail)
        try:
            return structs.replace(ending, patch=await sandbox.patch(index))
        except PatchError as error:
            if ending.state is State.SUCCEEDED:
                return structs.replace(ending, state=State.FAILED, code=error.code, detail=str(error))
            return ending

    async def _complete(self, sandbox: Sandbox, tally: Tally, producer: Literal["setup"] | int) -> None:
        """Where an event is missing among the live ones, take it from the final output: late at worst, never lost."""
        if tally.is_complete:
            return
        variation_id = None if producer == "setup" else producer
        for data in await sandbox.final_output(producer):
            if decode_line(data).n:
                await self._add_line(tally, variation_id, Line(producer, data, frames.now()))

    async def _add_line(self, tally: Tally, variation_id: int | None, line: Line) -> None:
        event = decode_line(line.data)
        if tally.is_new(event):
            await self._record.event(variation_id, event, line.time)
