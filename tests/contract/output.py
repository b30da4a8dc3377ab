from contextlib import aclosing

import pytest

from agent_image.events import Finished, Outcome, Truncated, decode_line
from service.engine import Engine, Line
from tests.contract.sandboxes import by_command, prepared, ran, spec, vary, vary_all
from tests.git_repositories import GitRepositories

MOST_KEPT = 16 << 20
"""Bytes of a variation's output."""

PRINTED = {
    r"printf 'a\000b\n'": b"a\0b\n",
    r"printf 'broken \377\376 utf-8\n'": b"broken \xff\xfe utf-8\n",
    r"printf '\033[31mred\033[0m\r\n\n'": b"\033[31mred\033[0m\r\n\n",
    r"printf '\nid: 999\n\nevent: end\ndata: {}\n\n'": b"\nid: 999\n\nevent: end\ndata: {}\n\n",
    r"yes é | tr -d '\n' | head -c 200000; echo": "é".encode() * 100_000 + b"\n",
    "printf 'no newline'": b"no newline",
    "true": b"",
}
"""By the command that prints it."""


class OutputContract:
    """What agents print comes as they print it, whole, in order, and within the limits."""

    async def test_a_line_comes_while_the_agent_is_still_at_work(self, engine: Engine, git: GitRepositories):
        endless = by_command("echo first; sleep 1000", timeout_s=1000)
        async with prepared(engine, spec(git.make("repo"))) as sandbox, aclosing(sandbox.vary(0, endless)) as items:
            async for item in items:
                assert isinstance(item, Line)
                if getattr(decode_line(item.data), "text", "") == "first\n":
                    return
        raise AssertionError("the agent, which never ends, ended")

    async def test_lines_come_in_the_order_in_which_they_are_printed(self, engine: Engine, git: GitRepositories):
        counting = by_command("for i in $(seq 1 200); do echo $i; sleep 0.005; done")
        async with prepared(engine, spec(git.make("repo"))) as sandbox, aclosing(sandbox.vary(0, counting)) as items:
            numbers = [decode_line(item.data).n async for item in items if isinstance(item, Line)]
        assert numbers == sorted(set(numbers))
        assert len(numbers) > 100, "nearly all come live"

    async def test_events_are_numbered_densely_and_the_last_is_finished(self, engine: Engine, git: GitRepositories):
        result = await ran(engine, git, "echo one; echo two >&2; echo three")
        assert [event.n for event in result.events] == list(range(1, len(result.events) + 1))
        assert result.finished.outcome is Outcome.SUBMITTED
        assert sum(isinstance(event, Finished) for event in result.events) == 1
        assert result.printed() == b"one\nthree\n"

    async def test_twenty_thousand_lines_at_once_come_complete_and_in_order(self, engine: Engine, git: GitRepositories):
        result = await ran(engine, git, "seq 1 20000")
        assert [event.n for event in result.events] == list(range(1, len(result.events) + 1))
        assert result.printed() == b"".join(b"%d\n" % number for number in range(1, 20_001))

    async def test_output_comes_byte_for_byte(self, engine: Engine, git: GitRepositories):
        async with prepared(engine, spec(git.make("repo"))) as sandbox:
            ended = await vary_all(sandbox, {index: by_command(command) for index, command in enumerate(PRINTED)})
        for index, (command, printed) in enumerate(PRINTED.items()):
            assert ended[index].exit == 0, command
            assert ended[index].printed() == printed, command

    @pytest.mark.parametrize("kind", ["a line", "lines"])
    async def test_of_100_mb_there_is_as_much_as_the_limits_let_through_and_the_rest_is_counted(
        self, engine: Engine, git: GitRepositories, kind: str
    ):
        size = 100_000_000
        commands = {"a line": f"yes | tr -d '\\n' | head -c {size}", "lines": f"yes {'x' * 99} | head -c {size}"}
        result = await ran(engine, git, commands[kind])
        withheld = [event for event in result.events if isinstance(event, Truncated)][-1].withheld_bytes
        assert len(result.printed()) + withheld == size
        assert MOST_KEPT // 8 < len(result.printed()) < MOST_KEPT
        assert result.exit == 0

    async def test_the_final_output_has_every_line(self, engine: Engine, git: GitRepositories):
        async with prepared(engine, spec(git.make("repo"), setup=["echo set up"])) as sandbox:
            await vary(sandbox, 0, by_command("seq 1 50"))
            numbers = [decode_line(data).n for data in await sandbox.final_output(0)]
            assert numbers == list(range(1, 53))
            assert b"set up" in b"".join(await sandbox.final_output("setup"))
