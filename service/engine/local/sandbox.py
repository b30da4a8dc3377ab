"""One run on this machine."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import anyio

from aideator.task import arguments
from service.engine import Capabilities, Ended, Line, Prepared, Producer, SandboxSpec, Serving, Task
from service.engine.asked import asked_of
from service.engine.local.confine import KILLED
from service.engine.local.confinement import Limits
from service.engine.local.failures import told_as_engine_errors
from service.engine.local.gateway import LocalGateway
from service.engine.local.harness import LocalHarness, Step
from service.engine.local.host import Host
from service.engine.local.patch import make_patch
from service.engine.local.programs import Programs
from service.engine.local.trees import Tree
from service.engine.local.workspace import LocalWorkspace
from service.errors import EngineError, PatchError

_RETIRE_S = 2.0


class LocalSandbox:
    """Keeps what is the run's own in `folder`."""

    def __init__(
        self,
        spec: SandboxSpec,
        folder: Path,
        *,
        host: Host,
        programs: Programs,
        workspace: LocalWorkspace,
        harness: LocalHarness,
        limits: Limits,
        capabilities: Capabilities,
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._host = host
        self._programs = programs
        self._workspace = workspace
        self._harness = harness
        self._limits = limits
        self._capabilities = capabilities
        self._gateway: LocalGateway | None = None
        self._trees: dict[int, Tree] = {}
        """Those whose agents have ended, and whose harness was not killed."""

    async def relay(self) -> AsyncGenerator[Line | Serving]:
        assert self._spec.models is not None, "a run that asks no models has no gateway"
        gateway, is_serving = LocalGateway(self._spec.models, self._folder), False
        with told_as_engine_errors():
            async with gateway.running(), aclosing(gateway.lines()) as lines:
                self._gateway = gateway
                async for line in lines:
                    if not is_serving:
                        is_serving = True
                        yield Serving()
                    yield Line("gateway", line, datetime.now(UTC))

    async def end_relay(self) -> None:
        if self._gateway is not None:
            self._gateway.end()

    async def prepare(self) -> AsyncGenerator[Line | Prepared]:
        with told_as_engine_errors():
            await self._workspace.clone()
            async with aclosing(self._set_up()) as lines:
                async for line in lines:
                    yield line
        yield Prepared(self._workspace.commit)

    async def vary(self, index: int, task: Task) -> AsyncGenerator[Line | Ended]:
        asked = asked_of(self._spec.run_id, index, task)
        with told_as_engine_errors():
            agent = await self._programs.agent(asked, self._folder, limit_s=self._spec.setup_timeout_s)
            tree = await self._workspace.derive(str(index))
        access = {} if self._gateway is None else self._gateway.access(index)
        step = Step(
            name=f"{self._spec.run_id}.{index}",
            producer=index,
            arguments=arguments(asked),
            tree=tree,
            printed=self._printed(index),
            environ={"RUN_ID": asked.run_id, "VARIATION_ID": str(index), **access},
            binds=(*self._workspace.binds, *agent, *(self._gateway.binds if self._gateway and access else ())),
            network=self._capabilities.agent_network,
            limit_s=task.timeout_s,
        )
        try:
            with told_as_engine_errors():
                async with aclosing(self._harness.run(step)) as items:
                    async for item in items:
                        if isinstance(item, Ended) and item.exit < KILLED:
                            self._trees[index] = tree
                        yield item
        finally:
            if self._gateway is not None and access:
                with anyio.move_on_after(_RETIRE_S, shield=True):
                    await self._gateway.retire(index)

    async def end_agents(self) -> None:
        self._harness.end()

    def _set_up(self) -> AsyncGenerator[Line]:
        return self._workspace.set_up(
            self._harness, self._programs.fingerprint(), network=self._capabilities.setup_network
        )

    async def final_output(self, producer: Producer) -> list[bytes]:
        if producer == "gateway":
            return [] if self._gateway is None else await self._gateway.ledger()
        printed = anyio.Path(self._workspace.printed if producer == "setup" else self._printed(producer))
        with told_as_engine_errors():
            return (await printed.read_bytes()).splitlines() if await printed.exists() else []

    async def patch(self, index: int) -> bytes:
        if index not in self._trees:
            raise PatchError("the harness was killed, and what it left is not whole")
        try:
            with told_as_engine_errors():
                return await make_patch(
                    self._host,
                    base=self._workspace.base,
                    tree=self._trees[index],
                    objects=self._workspace.binds,
                    folder=self._folder / f"{index}.patch",
                    limits=self._limits,
                )
        except PatchError:
            raise
        except EngineError as error:
            raise PatchError(str(error), error.code) from error

    def _printed(self, index: int) -> Path:
        return self._folder / f"{index}.jsonl"
