from contextlib import aclosing

import pytest

from agent_image.events import Outcome
from service.engine import Engine, Line
from service.errors import PatchError
from tests.contract.sandboxes import by_command, prepared, spec, vary, vary_all
from tests.git_repositories import GitRepositories

ENDS = {
    "true": (0, Outcome.SUBMITTED),
    "exit 9": (3, Outcome.GAVE_UP),
    "kill -9 $$": (3, Outcome.GAVE_UP),
    "kill $PPID; sleep 1000": (70, Outcome.CRASHED),
    "trap '' TERM; sleep 1000": (124, Outcome.TIMED_OUT),
}
"""How an agent ends by a command, of which the last takes too long."""


class EndsContract:
    """However an agent ends, its exit status tells, and its siblings go on."""

    async def test_an_end_has_its_exit_status(self, engine: Engine, git: GitRepositories):
        async with prepared(engine, spec(git.make("repo"))) as sandbox:
            tasks = {index: by_command(command, timeout_s=3) for index, command in enumerate(ENDS)}
            ended = await vary_all(sandbox, tasks)
        for index, (command, end) in enumerate(ENDS.items()):
            assert (ended[index].exit, ended[index].finished.outcome) == end, command

    async def test_a_death_by_signal_is_an_end_without_a_patch_and_leaves_the_siblings_alone(
        self, engine: Engine, git: GitRepositories
    ):
        kill = "case $VARIATION_ID in 0) kill -9 $PPID ;; 1) kill -SEGV $PPID ;; 2) sleep 1 ;; esac"
        command = f'{kill}; [ "$VARIATION_ID" = 2 ] || sleep 1000; echo done > done'
        async with prepared(engine, spec(git.make("repo"))) as sandbox:
            ended = await vary_all(sandbox, dict.fromkeys(range(3), by_command(command)))
            assert [ended[index].exit for index in range(3)] == [137, 139, 0]
            for index in range(2):
                with pytest.raises(PatchError):
                    await sandbox.patch(index)
            assert b"+++ b/done" in await sandbox.patch(2)

    async def test_an_agent_that_is_asked_to_end_leaves_what_it_made_where_the_engine_can(
        self, engine: Engine, git: GitRepositories
    ):
        is_left = engine.capabilities.patch_after_cancel
        rest = "exec sleep 1000" if is_left else "echo done > work"
        command = f"trap '' TERM; echo half-done > work; echo begun; {rest}"
        async with prepared(engine, spec(git.make("repo"))) as sandbox:
            async with aclosing(sandbox.vary(0, by_command(command))) as items:
                async for item in items:
                    if isinstance(item, Line) and b"begun" in item.data:
                        await sandbox.end_agents()
            assert (b"+half-done" if is_left else b"+done") in await sandbox.patch(0)

    async def test_a_deadline_is_each_variation_s_own(self, engine: Engine, git: GitRepositories):
        command = "echo half-done > work; sleep 4; echo done > work"
        async with prepared(engine, spec(git.make("repo"))) as sandbox:
            tasks = {0: by_command(command, timeout_s=1), 1: by_command(command)}
            ended = await vary_all(sandbox, tasks)
            assert [ended[index].exit for index in range(2)] == [124, 0]
            assert b"+half-done" in await sandbox.patch(0)
            assert b"+done" in await sandbox.patch(1)

    async def test_an_agent_that_stops_its_harness_is_ended_from_outside(self, engine: Engine, git: GitRepositories):
        command = '[ "$VARIATION_ID" = 0 ] && exit; kill -STOP $PPID; sleep 1000'
        async with prepared(engine, spec(git.make("repo"))) as sandbox:
            ended = await vary_all(sandbox, dict.fromkeys(range(2), by_command(command, timeout_s=2)))
            assert [ended[index].exit for index in range(2)] == [0, 124]

    async def test_each_variation_has_a_patch_of_its_own_however_it_ended(self, engine: Engine, git: GitRepositories):
        url = git.make("repo")
        command = 'echo "$VARIATION_ID" > mine; [ "$VARIATION_ID" = 0 ] || sleep 1000'
        async with prepared(engine, spec(url)) as sandbox:
            for index, exit_status in enumerate([0, 124]):
                result = await vary(sandbox, index, by_command(command, timeout_s=3))
                assert result.exit == exit_status
                assert await sandbox.patch(index) == git.patch_of(url, f"echo {index} > mine")
