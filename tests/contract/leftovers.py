from collections.abc import Callable
from contextlib import aclosing
from uuid import UUID

import anyio
import pytest

from service.engine import Engine
from tests.contract.sandboxes import LIMIT_S, by_command, prepare, prepared, spec, vary
from tests.git_repositories import GitRepositories
from tests.processes import STUBBORN, processes_of, traces_of, until_at_work

Leftovers = Callable[[UUID], list[str]]
"""Names what is left of a run, by its id: processes, mounts, namespaces, folders."""

DAEMONS = STUBBORN.rpartition("sh -c")[0]
"""What `STUBBORN` leaves in the background."""
LAST_WORDS = {"exit 0": 0, "kill -9 $PPID; sleep 1000": 137, "sleep 1000": 124}
"""How an agent ends: by itself, killed, at its deadline."""


class LeftoversContract:
    """Whoever ends a run, or whatever, and at any moment, nothing of it is left."""

    @pytest.fixture
    def leftovers(self) -> Leftovers:
        """What any engine may leave; an engine with folders of its own looks there, too."""
        return traces_of

    async def test_who_leaves_a_variation_kills_it_with_all_that_it_started_and_no_other(
        self, engine: Engine, git: GitRepositories, leftovers: Leftovers
    ):
        slept: list[bytes] = []

        async def sleep() -> None:
            slept.append((await vary(sandbox, 1, by_command("sleep 4; echo slept"))).printed())

        asked = spec(git.make("repo"))
        async with prepared(engine, asked) as sandbox, anyio.create_task_group() as tasks:
            async with aclosing(sandbox.vary(0, by_command(STUBBORN, timeout_s=1000))) as items:
                await anext(items)
                await until_at_work(asked.run_id, 1)
                assert leftovers(asked.run_id), "what finds nothing must be able to find something"
            assert processes_of(asked.run_id) == []
            tasks.start_soon(sleep)
            async with aclosing(sandbox.vary(2, by_command(STUBBORN, timeout_s=1000))) as items:
                await anext(items)
                await until_at_work(asked.run_id, 1)
        assert slept == [b"slept\n"]
        assert leftovers(asked.run_id) == []

    async def test_an_end_takes_everything_with_it_that_the_agent_started(
        self, engine: Engine, git: GitRepositories, leftovers: Leftovers
    ):
        asked = spec(git.make("repo"))
        async with prepared(engine, asked) as sandbox:
            for index, (last_words, exit_status) in enumerate(LAST_WORDS.items()):
                ended = await vary(sandbox, index, by_command(f"{DAEMONS}\n{last_words}", timeout_s=3))
                assert processes_of(asked.run_id) == [], last_words
                assert ended.exit == exit_status
        assert leftovers(asked.run_id) == []

    async def test_who_leaves_the_setup_kills_it(self, engine: Engine, git: GitRepositories, leftovers: Leftovers):
        asked = spec(git.make("repo"), setup=[STUBBORN])
        with anyio.fail_after(LIMIT_S):
            async with engine.open(asked) as sandbox, aclosing(sandbox.prepare()) as items:
                async for _ in items:
                    break
            assert leftovers(asked.run_id) == []

    @pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3, 0.6, 1.0, 1.5])
    async def test_a_cancel_at_any_moment_leaves_nothing(
        self, engine: Engine, git: GitRepositories, leftovers: Leftovers, after_s: float
    ):
        async def work(index: int) -> None:
            await vary(sandbox, index, by_command(STUBBORN, timeout_s=1000))

        asked = spec(git.make("repo"), setup=["echo set up"])
        with anyio.move_on_after(after_s):
            async with engine.open(asked) as sandbox:
                await prepare(sandbox)
                async with anyio.create_task_group() as tasks:
                    for index in range(2):
                        tasks.start_soon(work, index)
        assert leftovers(asked.run_id) == []
        await anyio.sleep(0.5)  # nothing comes to life later
        assert leftovers(asked.run_id) == []
