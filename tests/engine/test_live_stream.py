"""What agents print in containers, on its way to HTTP while they work."""

import random
from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx2

from tests.engine.stream import Seen, follow
from tests.engine.visitors import visitors
from tests.git_repositories import GitRepositories
from tests.service.api import check_log, frames, of_variation, start_run, until

CUTS = 25


async def test_a_line_is_on_the_stream_before_its_container_ends(http: httpx2.AsyncClient, git: GitRepositories):
    with visitors(opens_at=2) as door:  # one visitor alone waits until it is let in
        run = await start_run(http, git.make("live"), f"echo before; {door.visit('agent')}; echo after")
        seen: list[str] = []
        async with aclosing(follow(http, run)) as stream:
            async for frame in stream:
                seen.append(frame.data["content"])
                if frame.data["content"] == "before\n":
                    assert "after\n" not in seen
                    door.let_in()
        assert door.names == ["agent"]
    assert seen.index("before\n") < seen.index("after\n")
    assert (await until(http, run))["state"] == "succeeded"


async def test_many_lines_at_once_come_complete_in_order_and_as_one_log_to_viewers_that_are_cut(
    http: httpx2.AsyncClient, git: GitRepositories
):
    run = await start_run(http, git.make("many"), "seq 1 20000", variations=2)
    live = [frame async for frame in cut_often(http, run)]
    log = await frames(http, run)
    check_log(log)
    assert [(frame.id, frame.name, frame.data) for frame in log] == [(each.id, each.name, each.data) for each in live]
    for index in range(2):
        events = of_variation(log, index)
        assert [event["n"] for event in events] == list(range(1, len(events) + 1))
        printed = [event["text"] for event in events if event["kind"] == "output"]
        assert printed == [f"{number}\n" for number in range(1, 20_001)]


async def cut_often(http: httpx2.AsyncClient, run: str) -> AsyncGenerator[Seen]:
    """Follow a run with `CUTS` interruptions, each after some frames, each taken up where it was."""
    lengths = [random.Random(cut).choice([1, 3, 100, 2_000]) for cut in range(CUTS)]
    after = ""
    for length in lengths:
        async with aclosing(follow(http, run, after=after)) as stream:
            for _ in range(length):
                frame = await anext(stream)
                yield frame
                after = frame.id
    async with aclosing(follow(http, run, after=after)) as stream:
        async for frame in stream:
            yield frame
