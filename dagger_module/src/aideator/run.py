"""A run and its variations, as `dagger call` chains them."""

# The SDK's overloads of `function` lack `cache`, without which a call may be answered from the cache for seven days.
# pyright: reportCallIssue=false, reportUntypedFunctionDecorator=false

import dataclasses
import json
from typing import Annotated, Any, cast

import anyio
import dagger
from dagger import Doc, dag, field, function, object_type

from aideator.harness import packages
from aideator.patch import patch
from aideator.places import MOUNT
from aideator.reason import exit_and_reason, last_line, reason_of
from aideator.report import Report, Row, markdown
from aideator.task import Task, needs_of
from aideator.variation import Access, result, tree, variation

GRACE_S = 30.0
"""Seconds after its deadline in which a harness has to end; it takes one, unless its agent has stopped it."""


@object_type
class Variation:
    """One agent at work in one container."""

    index: int = field()
    agent: str = field()
    model: str = field()
    base: dagger.Directory
    timeout: float
    worked: dagger.Container

    @function(cache="never")
    async def output(self) -> str:
        """Everything the harness printed: one JSON event a line."""
        return await self.worked.stdout()

    @function(cache="never")
    def patch(self) -> dagger.File:
        """The complete difference from the base commit, for `git apply`; it was applied to a clean clone."""
        return patch(dag, self.base, self.tree())

    @function(cache="never")
    def tree(self) -> dagger.Directory:
        """The repository as the agent left it, without `.git`."""
        return tree(self.worked)

    @function(cache="never")
    async def exit_code(self) -> int:
        """The harness's exit status: 0 submitted, 3 gave up, 70 crashed, 124 timed out, 128+N killed by signal N."""
        try:
            return await self.worked.exit_code()
        except dagger.ExecError as error:
            return error.exit_code

    async def row(self) -> Row:
        """This variation's line of a report; a variation that failed is a line like any other."""
        row = Row(index=self.index, agent=self.agent, model=self.model)
        return {**row, **await self._ended()}

    async def _ended(self) -> Row:
        try:
            with anyio.fail_after(self.timeout + GRACE_S):
                exit_code = await self.worked.exit_code()
        except TimeoutError:
            reason = "killed from outside, for something had stopped its harness"
            return Row(outcome="timed_out", exit=124, reason=reason)
        except dagger.ExecError as error:
            # The engine keeps nothing of an exec that a signal killed: whatever is asked next would run it again.
            status, reason = exit_and_reason(error)
            return Row(outcome="crashed", exit=status, reason=reason)
        try:
            ended: dict[str, Any] = json.loads(await result(self.worked).contents())
        except dagger.QueryError as error:
            reason = last_line(await self.worked.stderr()) or reason_of(error)
            return Row(outcome="crashed", exit=exit_code, reason=reason)
        try:
            size = await self.patch().size()
        except dagger.QueryError as error:
            return Row(outcome="crashed", exit=exit_code, reason=f"no patch: {reason_of(error)}")
        told = {name: ended[name] for name in ("outcome", "code", "reason", "seconds", "usage") if ended.get(name)}
        return cast("Row", {**told, "exit": exit_code, "patch_bytes": size})


@object_type
class Run:
    """N agents at work on one repository; asking for one variation runs that one, a summary runs them all."""

    run_id: Annotated[str, Doc("Names the run: the same id with the same arguments reads the same work again")] = (
        field()
    )
    commit: Annotated[str, Doc("The commit that variations start from; empty where a directory had none")] = field()
    base: dagger.Directory
    prepared: dagger.Container
    agent_image: dagger.Directory
    harness: dagger.Directory
    tasks: list[str]
    """Each a `Task`, as JSON."""
    models: list[str]
    """What each variation asks, as `provider/name`."""
    timeout: float
    gateway: dagger.Service | None = None
    tokens: list[dagger.Secret] = dataclasses.field(default_factory=list[dagger.Secret])

    @function(cache="never")
    async def variation(self, index: Annotated[int, Doc("Which one, from 0")]) -> Variation:
        """One variation of the run."""
        if not 0 <= index < len(self.tasks):
            raise ValueError(f"this run has variations 0 to {len(self.tasks) - 1}, not {index}")
        task = Task(**json.loads(self.tasks[index]))
        # One that asks no model is not let in.
        access = Access(gateway=self.gateway, token=self.tokens[index]) if self.gateway and task.wire else None
        worked = variation(self.prepared, await self._mounts(task), task, access)
        return Variation(
            index=index, agent=task.agent, model=self.models[index], base=self.base, timeout=self.timeout, worked=worked
        )

    async def _mounts(self, task: Task) -> dict[str, dagger.Directory]:
        mounts = {MOUNT: self.harness}
        for mount, requirements in needs_of(task).items():
            mounts[mount] = packages(dag, await self.agent_image.file(requirements).contents())
        return mounts

    @function(cache="never")
    async def summary(self) -> str:
        """Run all variations; a Markdown table of how each ended."""
        return markdown(await self._report())

    @function(cache="never")
    async def report(self) -> str:
        """Run all variations; the same as JSON."""
        return json.dumps(await self._report(), indent=2)

    async def _report(self) -> Report:
        rows: dict[int, Row] = {}

        async def add(index: int) -> None:
            rows[index] = await (await self.variation(index)).row()

        await self.prepared.sync()
        async with anyio.create_task_group() as working:
            for index in range(len(self.tasks)):
                working.start_soon(add, index)
        return Report(run_id=self.run_id, commit=self.commit, variations=[rows[index] for index in sorted(rows)])
