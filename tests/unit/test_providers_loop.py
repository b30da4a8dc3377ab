"""The built-in agent's loop with a provider's model, whatever its wire format."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from asked import WIRES, answers_in, connect
from toolboxes import Bench, bench

from agent_image.events import Outcome, Said, Waiting
from agent_image.gateway.plan import Wire
from agent_image.loop import Loop
from tests.providers.fake import FakeProvider, fake_provider
from tests.providers.faults import cut_after, end_after, error_after, silence_after
from tests.providers.script import Turn, call, submit

LOOK = Turn(
    text="I shall look around first, and then we shall see.",
    thinking="What may there be in this place?",
    calls=[call("run", command="echo one"), call("run", command="echo two")],
)


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.param


@pytest.fixture
def fake() -> Generator[FakeProvider]:
    with fake_provider([LOOK, Turn(calls=[submit()])]) as fake:
        yield fake


@asynccontextmanager
async def looping(directory: Path, wire: Wire, fake: FakeProvider) -> AsyncGenerator[tuple[Loop, Bench]]:
    """A loop, ready to work in a directory of its own."""
    (directory / "workspace").mkdir()
    async with connect(wire, fake.url) as model, bench(directory / "workspace", directory / "log") as at:
        yield (
            Loop(
                model=model,
                model_name="m",
                toolbox=at.toolbox,
                emitter=at.emitter,
                max_steps=9,
                pauses_s=(0, 0, 0),
            ),
            at,
        )


async def test_speech_is_heard_while_the_model_still_speaks(tmp_path: Path, wire: Wire, fake: FakeProvider):
    fake.fail_next(silence_after(7))
    async with looping(tmp_path, wire, fake) as (loop, at), anyio.create_task_group() as tasks:
        tasks.start_soon(loop.work, "Do it.")
        await fake.until(lambda: any(isinstance(event, Said) for event in at.events))
        assert fake.open == 1
        fake.release()
    said = [event for event in at.events if isinstance(event, Said)]
    assert "".join(event.text for event in said if event.thought).strip() == LOOK.thinking
    assert "".join(event.text for event in said if not event.thought) == LOOK.text
    assert [event.part for event in said if event.part == 0] == [0, 0]
    assert [event.more for event in said if not event.more] == [False, False]


async def test_a_turn_that_broke_off_is_made_once(tmp_path: Path, wire: Wire, fake: FakeProvider):
    for fault in (error_after(8), cut_after(8), end_after(8)):
        fake.fail_next(fault)
    async with looping(tmp_path, wire, fake) as (loop, at):
        ended = await loop.work("Do it.")
    assert ended.outcome is Outcome.SUBMITTED
    assert sum(isinstance(event, Waiting) for event in at.events) == 3
    first, *_, last = [request.body for request in fake.requests]
    assert fake.requests[3].body == first
    assert [text.splitlines()[-1] for _, text in answers_in(wire, last)] == ["one", "two"]
