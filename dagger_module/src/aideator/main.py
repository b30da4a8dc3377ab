"""The functions that `dagger call` offers: the pipeline's door to a terminal and to CI."""

# The SDK's overloads of `function` lack `cache`, without which a call may be answered from the cache for seven days.
# pyright: reportCallIssue=false, reportUntypedFunctionDecorator=false

import json
import uuid
from typing import Annotated

import anyio
import dagger
from dagger import DefaultPath, Doc, Ignore, dag, field, function, object_type

from aideator import workspace as shared
from aideator.harness import EXCLUDE, PYTHON_IMAGE, harness
from aideator.patch import patch
from aideator.report import Report, Row, markdown
from aideator.variation import Task, result, tree, variation

DEFAULT_REPO = "https://github.com/octocat/Hello-World"
AGENTS = ("builtin", "command")
MODEL = "scripted"
GRACE_S = 30.0
"""Seconds after its deadline in which a harness has to end; it takes one, unless its agent has stopped it."""
DEFAULT_PROMPT = "Analyze this repository and describe what it does"


@object_type
class Variation:
    """One agent at work in one container."""

    index: int = field()
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
        try:
            with anyio.fail_after(self.timeout + GRACE_S):
                exit_code = await self.worked.exit_code()
        except TimeoutError:
            reason = "killed from outside, for something had stopped its harness"
            return Row(index=self.index, outcome="timed_out", exit=124, reason=reason)
        except dagger.ExecError as error:
            # The engine keeps nothing of an exec that a signal killed: whatever is asked next would run it again.
            reason = f"killed by signal {error.exit_code - 128}"
            return Row(index=self.index, outcome="crashed", exit=error.exit_code, reason=reason)
        try:
            ended = json.loads(await result(self.worked).contents())
            size = await self.patch().size()
        except dagger.QueryError as error:
            reason = str(error).partition(" [traceparent")[0].splitlines()[0]
            return Row(index=self.index, outcome="crashed", exit=exit_code, reason=reason)
        return Row(
            index=self.index, outcome=ended["outcome"], exit=exit_code, seconds=ended["seconds"], patch_bytes=size
        )


@object_type
class Run:
    """N agents at work on one repository; asking for one variation runs that one, a summary runs them all."""

    run_id: Annotated[str, Doc("Names the run: the same id with the same arguments reads the same work again")] = (
        field()
    )
    commit: Annotated[str, Doc("The commit that variations start from; empty where a directory had none")] = field()
    base: dagger.Directory
    prepared: dagger.Container
    harness: dagger.Directory
    variations: int
    prompt: str
    agent: str
    model: str
    command: str
    timeout: float

    @function(cache="never")
    def variation(self, index: Annotated[int, Doc("Which one, from 0")]) -> Variation:
        """One variation of the run."""
        if not 0 <= index < self.variations:
            raise ValueError(f"this run has variations 0 to {self.variations - 1}, not {index}")
        task = Task(
            run_id=self.run_id,
            index=index,
            prompt=self.prompt,
            agent=self.agent,
            model=self.model,
            command=self.command,
            timeout_s=self.timeout,
        )
        return Variation(
            index=index, base=self.base, timeout=self.timeout, worked=variation(self.prepared, self.harness, task)
        )

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
            rows[index] = await self.variation(index).row()

        await self.prepared.sync()
        async with anyio.create_task_group() as working:
            for index in range(self.variations):
                working.start_soon(add, index)
        return Report(run_id=self.run_id, commit=self.commit, variations=[rows[index] for index in sorted(rows)])


@object_type
class Aideator:
    """Let several coding agents work on one git repository, side by side, and take a patch from each."""

    @function(cache="never")
    async def run(
        self,
        *,
        repo: Annotated[str, Doc("URL of the git repository")] = DEFAULT_REPO,
        ref: Annotated[str, Doc("Branch, tag or commit; empty for the remote's HEAD")] = "",
        source: Annotated[dagger.Directory | None, Doc("A directory to work on as it is, instead of --repo")] = None,
        prompt: Annotated[str, Doc("What the agents are asked to do")] = DEFAULT_PROMPT,
        variations: Annotated[int, Doc("How many agents work side by side")] = 3,
        agent: Annotated[str, Doc("What works in each container: builtin, or command")] = "builtin",
        model: Annotated[str, Doc("What a builtin agent asks; scripted needs no key")] = MODEL,
        command: Annotated[str, Doc("What the agent named command runs; it finds the prompt in $PROMPT")] = "",
        setup: Annotated[
            list[str] | None, Doc("Shell commands run once, before the agents, on the shared clone")
        ] = None,
        image: Annotated[
            str, Doc("The image that everything runs in; git is added where it is missing")
        ] = PYTHON_IMAGE,
        timeout: Annotated[float, Doc("Seconds until an agent is stopped")] = 300.0,
        run_id: Annotated[str, Doc("Reuse it to read the work of an earlier call; random by default")] = "",
        agent_image: Annotated[
            dagger.Directory, DefaultPath("/agent_image"), Ignore(EXCLUDE), Doc("The harness's sources")
        ],
    ) -> Run:
        """Prepare a run; nothing works until a variation, a summary or a report is asked for."""
        if variations < 1:
            raise ValueError(f"--variations must be at least 1, not {variations}")
        if timeout <= 0:
            raise ValueError(f"--timeout must be more than 0 seconds, not {timeout:g}")
        if not prompt.strip():
            raise ValueError("--prompt is empty")
        if model != MODEL:
            raise ValueError(f"--model is {MODEL} in this version, not {model}")
        if agent not in AGENTS:
            raise ValueError(f"--agent is one of {', '.join(AGENTS)}, not {agent}")
        if bool(command) != (agent == "command"):
            raise ValueError("--command and --agent=command go together")
        commit, base = await _base(repo, ref, source)
        repository = repo if source is None else "a directory"
        directory = harness(dag, agent_image, await agent_image.file("requirements.txt").contents())
        return Run(
            run_id=run_id or uuid.uuid4().hex,
            commit=commit,
            base=base,
            prepared=shared.workspace(
                dag, image=image, base=base, harness=directory, repository=repository, setup=setup or []
            ),
            harness=directory,
            variations=variations,
            prompt=prompt,
            agent=agent,
            model=model,
            command=command,
            timeout=timeout,
        )


async def _base(repo: str, ref: str, source: dagger.Directory | None) -> tuple[str, dagger.Directory]:
    if source is not None:
        return "", shared.snapshot(dag, source)
    repository = dag.git(repo)
    at = repository.ref(ref) if ref else repository.head()
    return await at.commit(), at.tree()
