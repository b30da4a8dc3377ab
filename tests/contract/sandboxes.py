"""A sandbox of an engine in the hands of a test: opened, prepared, and varied as a run does it."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from uuid import uuid4

import anyio
import pytest
from msgspec import Struct

from agent_image.events import Event, Finished, Output, decode_line
from service.engine import Ended, Engine, Prepared, Sandbox, SandboxSpec, Task
from service.errors import PrepareError
from service.repo_url import parse_allow, parse_repo_url
from tests.git_repositories import GitRepositories

IMAGE = "python:3.11-slim"
LIMIT_S = 120.0
"""For one test, on an engine that has everything cached."""


class Ran(Struct, frozen=True):
    """A producer's output and end."""

    events: list[Event]
    exit: int

    @property
    def finished(self) -> Finished:
        last = self.events[-1]
        assert isinstance(last, Finished)
        return last

    def printed(self) -> bytes:
        """What the commands wrote to stdout, whole again."""
        outputs = [event for event in self.events if isinstance(event, Output)]
        return b"".join(event.data or event.text.encode() for event in outputs if event.stream == "stdout")


def spec(
    url: str,
    *,
    ref: str = "",
    setup: list[str] | None = None,
    setup_timeout_s: float = 300.0,
    clone_timeout_s: float = 60.0,
) -> SandboxSpec:
    return SandboxSpec(
        run_id=uuid4(),
        repo_url=parse_repo_url(url, parse_allow("git://127.0.0.1/, " + url)),
        ref=ref,
        setup=setup or [],
        image=IMAGE,
        clone_timeout_s=clone_timeout_s,
        setup_timeout_s=setup_timeout_s,
    )


def by_command(command: str, *, prompt: str = "do it", timeout_s: float = 60.0) -> Task:
    return Task(prompt=prompt, agent="command", model="scripted", command=command, timeout_s=timeout_s)


def scripted() -> Task:
    return Task(prompt="do it", agent="builtin", model="scripted", command="", timeout_s=60.0)


@asynccontextmanager
async def prepared(engine: Engine, asked: SandboxSpec) -> AsyncGenerator[Sandbox]:
    with anyio.fail_after(LIMIT_S):
        async with engine.open(asked) as sandbox:
            await prepare(sandbox)
            yield sandbox


async def prepare(sandbox: Sandbox) -> tuple[list[Event], str]:
    """What the setup printed, and the commit."""
    events: list[Event] = []
    async with aclosing(sandbox.prepare()) as items:
        async for item in items:
            if isinstance(item, Prepared):
                return events, item.commit
            events.append(decode_line(item.data))
    raise AssertionError("the workspace was never prepared")


async def vary(sandbox: Sandbox, index: int, task: Task) -> Ran:
    """Let an agent work to its end; what the live lines lack is taken from the final output, as a run does."""
    events: dict[int, Event] = {}
    exit_status: int | None = None
    async with aclosing(sandbox.vary(index, task)) as items:
        async for item in items:
            assert exit_status is None, "nothing comes after the end"
            if isinstance(item, Ended):
                exit_status = item.exit
            else:
                assert item.producer == index
                event = decode_line(item.data)
                assert event.n not in events, "no line comes twice"
                events[event.n] = event
    assert exit_status is not None
    if exit_status < 128:
        for data in await sandbox.final_output(index):
            events.setdefault(decode_line(data).n, decode_line(data))
    return Ran([events[number] for number in sorted(events)], exit_status)


async def vary_all(sandbox: Sandbox, tasks: Mapping[int, Task]) -> dict[int, Ran]:
    """Let agents work side by side, each to its end."""
    ended: dict[int, Ran] = {}

    async def work(index: int, task: Task) -> None:
        ended[index] = await vary(sandbox, index, task)

    async with anyio.create_task_group() as variations:
        for index, task in tasks.items():
            variations.start_soon(work, index, task)
    return ended


async def patches_of(engine: Engine, url: str, commands: Sequence[str], *, at_once: int = 8) -> list[bytes]:
    """The patch that comes of each command, in a variation of its own that has to succeed."""
    patches: dict[int, bytes] = {}
    limit = anyio.CapacityLimiter(at_once)

    async def work(index: int, command: str) -> None:
        async with limit:
            ended = await vary(sandbox, index, by_command(f"set -e\n{command}"))
            assert ended.exit == 0, (command, ended.events)
            patches[index] = await sandbox.patch(index)

    async with prepared(engine, spec(url)) as sandbox, anyio.create_task_group() as variations:
        for index, command in enumerate(commands):
            variations.start_soon(work, index, command)
    return [patches[index] for index in range(len(commands))]


async def ran(engine: Engine, git: GitRepositories, command: str, *, timeout_s: float = 60.0) -> Ran:
    async with prepared(engine, spec(git.make("repo"))) as sandbox:
        return await vary(sandbox, 0, by_command(command, timeout_s=timeout_s))


async def fail(engine: Engine, asked: SandboxSpec) -> PrepareError:
    with pytest.raises(PrepareError) as caught:
        async with prepared(engine, asked):
            pass
    return caught.value
