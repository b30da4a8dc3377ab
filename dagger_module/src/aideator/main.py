"""The functions that `dagger call` offers: the pipeline's door to a terminal and to CI."""

# The SDK's overloads of `function` lack `cache`, without which a call may be answered from the cache for seven days.
# pyright: reportCallIssue=false, reportUntypedFunctionDecorator=false

import dataclasses
import json
import uuid
from collections.abc import Sequence
from typing import Annotated

import dagger
from dagger import DefaultPath, Doc, Ignore, dag, function, object_type

from aideator import workspace as shared
from aideator.assignment import Assignment, assigned, check_count, read_agents
from aideator.budget import PRICES, Budget, check_priced
from aideator.gateway import REQUIREMENTS
from aideator.harness import EXCLUDE, PYTHON_IMAGE, harness, packages
from aideator.mcp import check_servers
from aideator.plan import open_gateway
from aideator.providers import (
    ANTHROPIC_URL,
    MODELS_HOST,
    OPENAI_URL,
    Provider,
    anthropic,
    asks_model,
    gpt_oss,
    named,
    openai,
    provider_of,
    read_key,
)
from aideator.run import Run
from aideator.task import Task

DEFAULT_REPO = "https://github.com/octocat/Hello-World"
DEFAULT_PROMPT = "Analyze this repository and describe what it does"
_VARIATIONS = 3
_LONGEST_TIMEOUT_S = 1_000_000


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
        variations: Annotated[int | None, Doc(f"How many agents work side by side (default {_VARIATIONS})")] = None,
        agent: Annotated[str, Doc("What works in each container: builtin, claude-code, codex, or command")] = "builtin",
        model: Annotated[
            str, Doc("What the agents ask, as provider/name; scripted, the builtin agent's default, needs no key")
        ] = "",
        temperature: Annotated[float | None, Doc("How freely a builtin agent's model chooses, from 0 to 2")] = None,
        command: Annotated[str, Doc("What the agent named command runs; it finds the prompt in $PROMPT")] = "",
        agents: Annotated[
            str,
            Doc("Instead of these: a JSON array of {agent, model, temperature, prompt_suffix, command, count}"),
        ] = "",
        setup: Annotated[
            list[str] | None, Doc("Shell commands run once, before the agents, on the shared clone")
        ] = None,
        mcp_servers: Annotated[
            str, Doc("MCP servers for the agents: a JSON object of {command, env}, {url} or {serve}, by name")
        ] = "",
        image: Annotated[
            str, Doc("The image that everything runs in; git is added where it is missing")
        ] = PYTHON_IMAGE,
        timeout: Annotated[float, Doc("Seconds until an agent is stopped")] = 300.0,
        budget_usd: Annotated[float, Doc("US dollars that the run may cost; 0 for no limit")] = 0.0,
        budget_tokens: Annotated[int, Doc("Tokens that it may use; 0 for no limit")] = 0,
        budget_calls: Annotated[int, Doc("Model calls that it may make; 0 for no limit")] = 0,
        anthropic_api_key: Annotated[dagger.Secret | None, Doc("Key of the provider anthropic")] = None,
        openai_api_key: Annotated[dagger.Secret | None, Doc("Key of the provider openai")] = None,
        llm_api_key: Annotated[dagger.Secret | None, Doc("Key of the provider gpt-oss, if it wants one")] = None,
        anthropic_base_url: Annotated[str, Doc("Where the provider anthropic is")] = ANTHROPIC_URL,
        openai_base_url: Annotated[str, Doc("Where the provider openai is")] = OPENAI_URL,
        openai_wire: Annotated[
            str, Doc("What it speaks: responses or chat; by default responses for OpenAI itself, chat for another")
        ] = "",
        gpt_oss_url: Annotated[str, Doc("Where the provider gpt-oss is: any server of Chat Completions")] = "",
        model_server: Annotated[
            dagger.Service | None,
            Doc(
                "A model server on your machine, such as tcp://localhost:11434; base URLs reach it as http://models:PORT"
            ),
        ] = None,
        run_id: Annotated[str, Doc("Reuse it to read the work of an earlier call; random by default")] = "",
        agent_image: Annotated[
            dagger.Directory, DefaultPath("/agent_image"), Ignore(EXCLUDE), Doc("The harness's sources")
        ],
    ) -> Run:
        """Prepare a run; nothing works until a variation, a summary or a report is asked for."""
        _check(timeout, prompt)
        check_servers(mcp_servers)
        one = Assignment(agent=agent, model=model, temperature=temperature, command=command)
        providers = (
            anthropic(anthropic_base_url, anthropic_api_key),
            openai(openai_base_url, openai_api_key, openai_wire),
            gpt_oss(gpt_oss_url, llm_api_key),
        )
        assignments = [named(each, providers) for each in _assignments(agents, one, variations)]
        asking = [each for each in assignments if asks_model(each)]
        asked = {each.name: each for each in (provider_of(one, providers) for one in asking)}
        budget = Budget(usd=budget_usd, tokens=budget_tokens, calls=budget_calls)
        budget.check(len(asking))
        if budget.usd:
            check_priced([each.model for each in asking], await agent_image.file(PRICES).contents())
        keys = {name: await read_key(each) for name, each in asked.items() if each.key}
        run_id = run_id or uuid.uuid4().hex
        tasks = [
            _task(run_id, index, prompt, timeout, mcp_servers, each, providers)
            for index, each in enumerate(assignments)
        ]
        commit, base = await _base(repo, ref, source)
        directory = harness(dag, agent_image, await agent_image.file("requirements.txt").contents())
        run = Run(
            run_id=run_id,
            commit=commit,
            base=base,
            prepared=shared.workspace(
                dag,
                image=image,
                base=base,
                harness=directory,
                repository=repo if source is None else "a directory",
                setup=setup or [],
            ),
            agent_image=agent_image,
            harness=directory,
            tasks=[json.dumps(dataclasses.asdict(task)) for task in tasks],
            models=[each.model for each in assignments],
            timeout=timeout,
        )
        if asking:
            run.gateway, run.tokens = open_gateway(
                dag,
                run_id=run_id,
                assignments=assignments,
                providers=list(asked.values()),
                keys=keys,
                budget=budget,
                timeout_s=timeout,
                harness=directory,
                packages=packages(dag, await agent_image.file(REQUIREMENTS).contents()),
                upstreams={} if model_server is None else {MODELS_HOST: model_server},
            )
        return run


def _check(timeout: float, prompt: str) -> None:
    if not 0 < timeout <= _LONGEST_TIMEOUT_S:
        raise ValueError(f"--timeout is a number of seconds above 0, up to {_LONGEST_TIMEOUT_S}, not {timeout:g}")
    if not prompt.strip():
        raise ValueError("--prompt is empty")


def _assignments(agents: str, one: Assignment, variations: int | None) -> list[Assignment]:
    """One for each variation: those of the matrix `agents`, or as many alike."""
    if agents and (variations is not None or one != Assignment()):
        raise ValueError("--agents goes instead of --variations, --agent, --model, --temperature and --command")
    if agents:
        return read_agents(agents)
    count = _VARIATIONS if variations is None else variations
    check_count(count, "--variations")
    return [assigned(one, "--")] * count


def _task(
    run_id: str,
    index: int,
    prompt: str,
    timeout: float,
    mcp_servers: str,
    assignment: Assignment,
    providers: Sequence[Provider],
) -> Task:
    first, _, rest = assignment.model.partition("/")
    return Task(
        run_id=run_id,
        index=index,
        prompt=assignment.prompt(prompt),
        agent=assignment.agent,
        model=rest or first,
        wire=provider_of(assignment, providers).wire if asks_model(assignment) else "",
        temperature=assignment.temperature,
        command=assignment.command,
        mcp=mcp_servers,
        timeout_s=timeout,
    )


async def _base(repo: str, ref: str, source: dagger.Directory | None) -> tuple[str, dagger.Directory]:
    if source is not None:
        return "", shared.snapshot(dag, source)
    repository = dag.git(repo)
    at = repository.ref(ref) if ref else repository.head()
    return await at.commit(), at.tree()
