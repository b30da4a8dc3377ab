"""One run's containers on a Dagger engine."""

import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import dagger
import structlog
from anyio.abc import TaskGroup
from msgspec import structs

import aideator.task
from agent_image import events
from agent_image.events import EXIT_STATUS, Outcome
from aideator.gateway import REQUIREMENTS
from aideator.harness import EXCLUDE, Mounts, harness, packages
from aideator.patch import patch
from aideator.places import MOUNT
from aideator.task import needs_of
from aideator.variation import tree, variation
from service.engine import Ended, Line, Prepared, Producer, SandboxSpec, Serving, Task
from service.engine.asked import asked_of
from service.engine.dagger.call import Call
from service.engine.dagger.failure import engine_loss, message_of
from service.engine.dagger.gateway import DaggerGateway, forwarded
from service.engine.dagger.session import Session
from service.engine.dagger.telemetry import follow_chunks
from service.engine.dagger.workspace import DaggerWorkspace
from service.engine.failures import check_size, setup_error
from service.engine.output import Output, Outputs, unheard
from service.errors import EngineError, EngineLostError, PatchError

logger: structlog.stdlib.BoundLogger = structlog.get_logger()

_AGENT_IMAGE = Path(events.__file__).parent
_GRACE_S = 30.0
"""How long after its deadline a harness may take to end, before it is ended from here."""
_PATCH_S = 300.0
_RETIRE_S = 2.0
_START_S = 60.0
_TIMED_OUT = EXIT_STATUS[Outcome.TIMED_OUT]

T = TypeVar("T")


class DaggerSandbox:
    def __init__(self, spec: SandboxSpec, session: Session, tasks: TaskGroup) -> None:
        self._spec = spec
        self._session = session
        self._client = session.client
        self._tasks = tasks
        self._outputs = Outputs()
        sources = self._client.host().directory(str(_AGENT_IMAGE), exclude=EXCLUDE)
        self._harness = harness(self._client, sources, (_AGENT_IMAGE / "requirements.txt").read_text())
        self._workspace: DaggerWorkspace
        self._gateway: DaggerGateway | None = None
        self._relay_ended = anyio.Event()
        self._containers: dict[Producer, dagger.Container] = {}
        self._failed: dict[Producer, str] = {}
        """What those printed whose exec failed: asking the engine again would run them again."""

    async def read_log(self) -> None:
        """Sort what the session logs. Where that ends too early, the calls fail by themselves."""
        try:
            async with aclosing(follow_chunks(self._session)) as chunks:
                await self._outputs.distribute(chunks)
        except EngineLostError as error:
            logger.warning("the engine's log ended", run_id=str(self._spec.run_id), reason=str(error))

    async def relay(self) -> AsyncGenerator[Line | Serving]:
        models, needs = self._spec.models, self._packages(REQUIREMENTS)
        assert models is not None, "a run that asks no models has no gateway"
        async with forwarded(models.plan) as (ports, plan):
            with self._outputs.listen("gateway") as output:
                gateway = DaggerGateway(
                    self._client,
                    output,
                    run_id=self._spec.run_id,
                    models=structs.replace(models, plan=plan),
                    ports=ports,
                    harness=self._harness,
                    packages=needs,
                )
                try:
                    await self._start(gateway, needs)
                    yield Serving()
                    self._tasks.start_soon(output.end_when_ended)
                    async for line in output.lines:
                        yield line
                finally:
                    await gateway.stop()
                if not gateway.was_told_to_end:
                    raise EngineError("gateway.failed", "the gateway ended, though the run had not")

    async def _start(self, gateway: DaggerGateway, needs: dagger.Directory) -> None:
        try:
            async with engine_loss(self._client):
                await self._have(needs)
                with anyio.fail_after(_START_S):
                    await gateway.start()
        except TimeoutError as error:
            raise EngineError("gateway.failed", f"the gateway did not start within {_START_S:.0f} s") from error
        self._gateway = gateway

    async def end_relay(self) -> None:
        if self._gateway is not None:
            await self._gateway.end()

    async def end_agents(self) -> None:
        """An exec hears nothing from outside."""

    def _packages(self, requirements: str) -> dagger.Directory:
        return packages(self._client, (_AGENT_IMAGE / requirements).read_text())

    async def _have(self, directory: dagger.Directory) -> None:
        """Make what an agent needs, before its own call does: what that prints is no event of the agent's."""
        try:
            with unheard(), anyio.fail_after(self._spec.setup_timeout_s):
                await directory.sync()
        except TimeoutError as error:
            message = f"what it needs was not installed within {self._spec.setup_timeout_s:g} s"
            raise EngineError("agent.unavailable", message) from error
        except dagger.ExecError as error:
            message = f"what it needs cannot be installed: {message_of(error, said=error.stderr)}"
            raise EngineError("agent.unavailable", message) from error

    def prepare(self) -> AsyncGenerator[Line | Prepared]:
        return self._watch("setup", self._prepare, prints=bool(self._spec.setup))

    async def _prepare(self, output: Output) -> Prepared:
        self._workspace = DaggerWorkspace(self._client, self._spec, self._harness)
        try:
            await self._workspace.clone(output)
            self._containers["setup"] = await self._workspace.set_up()
        except dagger.ExecError as error:
            self._failed["setup"] = error.stdout
            last = [events.decode_line(line) for line in error.stdout.encode().splitlines()[-1:]]
            raise setup_error(error.exit_code, self._spec.setup_timeout_s, next(iter(last), None)) from error
        return Prepared(self._workspace.commit)

    def vary(self, index: int, task: Task) -> AsyncGenerator[Line | Ended]:
        return self._watch(index, partial(self._vary, index, task))

    async def _vary(self, index: int, task: Task, _: Output) -> Ended:
        asked = asked_of(self._spec.run_id, index, task)
        access = None if self._gateway is None else self._gateway.access(index)
        mounts = await self._mounts(asked)
        container = self._containers[index] = variation(self._containers["setup"], mounts, asked, access)
        try:
            with anyio.fail_after(task.timeout_s + _GRACE_S):
                return Ended(await container.exit_code())
        except dagger.ExecError as error:
            self._failed[index] = error.stdout
            return Ended(error.exit_code)
        except TimeoutError:  # its harness was stopped from within; the engine has killed it now, at our word
            self._failed[index] = ""
            return Ended(_TIMED_OUT)
        finally:
            if self._gateway is not None:
                with anyio.move_on_after(_RETIRE_S, shield=True):
                    await self._gateway.retire(index)

    async def _mounts(self, task: aideator.task.Task) -> Mounts:
        needs = {mount: self._packages(requirements) for mount, requirements in needs_of(task).items()}
        for directory in needs.values():
            await self._have(directory)
        return {MOUNT: self._harness, **needs}

    async def final_output(self, producer: Producer) -> list[bytes]:
        if producer == "gateway":
            return [] if self._gateway is None else await self._gateway.ledger()
        if producer in self._failed:
            return self._failed[producer].encode().splitlines()
        if producer in self._containers:
            async with engine_loss(self._client):
                return (await self._containers[producer].stdout()).encode().splitlines()
        return []

    async def patch(self, index: int) -> bytes:
        if index in self._failed:
            raise PatchError("the container was killed, and its files are gone with it")
        made = patch(self._client, self._workspace.base, tree(self._containers[index]))
        with tempfile.TemporaryDirectory() as folder:
            try:
                async with engine_loss(self._client):
                    with anyio.fail_after(_PATCH_S):
                        await self._export(made, f"{folder}/patch")
            except TimeoutError as error:
                raise PatchError(f"it was not made within {_PATCH_S:.0f} s") from error
            return await anyio.Path(folder, "patch").read_bytes()

    async def _export(self, made: dagger.File, path: str) -> None:
        try:
            check_size(await made.size())
            await made.export(path)
        except dagger.ExecError as error:
            raise PatchError(message_of(error, said=error.stderr)) from error

    async def _watch(
        self, producer: Producer, work: Callable[[Output], Awaitable[T]], *, prints: bool = True
    ) -> AsyncGenerator[Line | T]:
        """Run `work`, yield the lines that its exec prints, then its result. Leaving kills the exec, for good."""
        with self._outputs.listen(producer) as output:
            call = Call(self._session, output, work, prints=prints)
            self._tasks.start_soon(call.run)
            try:
                async for line in output.lines:
                    yield line
            finally:
                await call.stop()
            yield call.result()
