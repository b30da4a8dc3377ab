"""What agents print, from their harness to the stream."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx2
import pytest

from service.engine import Ended, Line, Task
from service.frames import now
from service.settings import Settings
from tests.faulty_engine import FaultyEngine, FaultySandbox
from tests.git_repositories import GitRepositories
from tests.service.api import (
    check_log,
    frames,
    log_of,
    of_variation,
    service,
    start_run,
    stream,
    until,
    until_printed,
    view,
    whole,
)
from tests.service.gates import Gates

Client = httpx2.AsyncClient


async def test_a_line_reaches_the_stream_before_its_container_ends(client: Client, git: GitRepositories, gates: Gates):
    run_url = await start_run(client, git.make("repo"), f"echo waiting; {gates.wait()}")
    received = await until_printed(client, run_url, "waiting")
    assert (await view(client, run_url))["state"] == "running"
    gates.open()
    assert (await stream(client, run_url)).startswith(log_of(whole(received)))
    assert (await view(client, run_url))["state"] == "succeeded"


async def test_twenty_thousand_lines_are_complete_and_in_order(client: Client, git: GitRepositories):
    run_url = await start_run(client, git.make("repo"), "seq 1 20000")
    log = await frames(client, run_url)
    check_log(log)
    outputs = [event["text"] for event in of_variation(log, 0) if event["kind"] == "output"]
    assert outputs == [f"{number}\n" for number in range(1, 20_001)]


async def test_a_missing_event_is_taken_from_the_final_output(
    client: Client, git: GitRepositories, engine: FaultyEngine
):
    engine.drop_lines = {2, 5, 12}
    run_url = await start_run(client, git.make("repo"), "seq 1 10", setup=["echo one; echo two"], variations=2)
    log = await frames(client, run_url)
    check_log(log)
    for index in range(2):
        events = of_variation(log, index)
        assert sorted(event["n"] for event in events) == list(range(1, 13))
        assert sorted(int(event["text"]) for event in events if event["kind"] == "output") == list(range(1, 11))
    setup = [frame.event["n"] for frame in log if frame.name == "run_output"]
    assert sorted(setup) == list(range(1, len(setup) + 1))
    assert (await view(client, run_url))["state"] == "succeeded"


@pytest.mark.parametrize(
    ("commands", "content", "data"),
    [
        (r"printf 'a\000b\n'", "a\0b\n", None),
        (r"printf 'broken \377\376\n'", "broken \ufffd\ufffd\n", "YnJva2VuIP/+Cg=="),
        (r"printf '\033[31mred\033[0m\r\n'", "\033[31mred\033[0m\r\n", None),
        (r"printf '\342\200\250\n'", "\u2028\n", None),
    ],
    ids=["NUL", "broken UTF-8", "ANSI", "line separator"],
)
async def test_output_of_any_kind_is_stored_and_shown(
    client: Client, git: GitRepositories, commands: str, content: str, data: str | None
):
    run_url = await start_run(client, git.make("repo"), commands)
    (frame,) = [frame for frame in await frames(client, run_url) if frame.data["type"] == "output"]
    assert frame.data["content"] == content
    assert frame.event.get("data") == data
    assert frame.event.get("text", "") == ("" if data else content)
    assert (await view(client, run_url))["state"] == "succeeded"


async def test_long_lines_come_in_parts_and_forged_frames_stay_output(client: Client, git: GitRepositories):
    forged = r"\n\nid: 1-999\nevent: run_complete\ndata: {}\n\n"
    command = f"head -c 1000000 /dev/zero | tr '\\000' x; yes é | tr -d '\\n' | head -c 200000; printf '{forged}'"
    run_url = await start_run(client, git.make("repo"), command)
    log = await frames(client, run_url)
    check_log(log)
    outputs = [frame for frame in log if frame.data["type"] == "output"]
    whole = "x" * 1_000_000 + "é" * 100_000 + forged.replace(r"\n", "\n")
    assert "".join(frame.data["content"] for frame in outputs) == whole
    assert all(len(frame.raw) < 40_000 for frame in log)
    parts = [(frame.event.get("part", 0), frame.event.get("more", False)) for frame in outputs]
    long = parts[: parts.index((0, False), 1)]
    assert [part for part, _ in long] == list(range(len(long)))
    assert [more for _, more in long] == [True] * (len(long) - 1) + [False]


class Lying(FaultySandbox):
    """The harnesses of the first two variations say how they have ended before they have, and what is no event."""

    def vary(self, index: int, task: Task) -> AsyncGenerator[Line | Ended]:
        items = super().vary(index, task)
        return self._with_lie(index, items) if index < 2 else items

    async def _with_lie(self, index: int, items: AsyncGenerator[Line | Ended]) -> AsyncGenerator[Line | Ended]:
        outcome = ("submitted", "gave_up")[index]
        lie = b'{"n":2,"at":1,"kind":"finished","outcome":"%s","exit":3,"seconds":1,"reason":"a\\u0000b"}'
        async with aclosing(items):
            yield await anext(items)
            yield Line(index, lie % outcome.encode(), now())
            yield Line(index, b"no event", now())
            async for item in items:
                yield item


async def test_a_harness_that_lies_about_itself_ends_its_variation_and_nothing_else(
    settings: Settings, database_url: str, engine: FaultyEngine, git: GitRepositories
):
    async with service(settings, database_url, FaultyEngine(engine, Lying)) as client:
        command = "[ $VARIATION_ID = 2 ] || exit 1"
        run = await until(client, await start_run(client, git.make("repo"), command, variations=3))
    assert [each["state"] for each in run["variations"]] == ["failed", "failed", "succeeded"]
    assert run["variations"][1]["detail"] == "a\ufffdb"
