"""What every engine promises, as one suite: a class derives from it in each ring, and supplies a fixture `engine`."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from uuid import uuid4

import anyio
import pytest
from msgspec import Struct

from agent_image.events import Event, Finished, Outcome, Output, Truncated, decode_line
from service.engine import Ended, Engine, Line, Prepared, Sandbox, SandboxSpec, Task
from service.errors import PatchError, PrepareError
from service.repo_url import parse_allow, parse_repo_url
from tests.git_repositories import FILES, GitRepositories

IMAGE = "python:3.11-slim"
LIMIT_S = 120.0
"""For one test, on an engine that has everything cached."""

CHANGES = r"""
rm src/main.py
printf 'a\000b\377\n' > binary
mkdir new
git mv poem.txt new/poem.txt
echo 'one line more' >> new/poem.txt
chmod +x run.sh
ln -s ../README.md new/link
echo odd > 'a name with space
newline and "quote" é'
printf 'no newline at the end' >> README.md
git add README.md
git -c user.name=a -c user.email=a@b commit --quiet --message='committed by the agent'
echo staged > staged.txt
git add staged.txt
"""
"""What an agent may do to a repository: a deletion, a binary file, a rename, a mode, a symlink, odd names, commits."""

CHANGED = {
    **FILES,
    "poem.txt": "".join(f"line {number} of a poem\n" for number in range(40)),
    "run.sh": "#!/bin/sh\n",
    "same.txt": "nobody touches this\n",
}


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


def spec(url: str, *, ref: str = "", setup: list[str] | None = None, setup_timeout_s: float = 300.0) -> SandboxSpec:
    return SandboxSpec(
        run_id=uuid4(),
        repo_url=parse_repo_url(url, parse_allow("git://127.0.0.1/, " + url)),
        ref=ref,
        setup=setup or [],
        image=IMAGE,
        clone_timeout_s=60.0,
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


async def ran(engine: Engine, git: GitRepositories, command: str, *, timeout_s: float = 60.0) -> Ran:
    async with prepared(engine, spec(git.make("repo"))) as sandbox:
        return await vary(sandbox, 0, by_command(command, timeout_s=timeout_s))


async def fail(engine: Engine, asked: SandboxSpec) -> PrepareError:
    with pytest.raises(PrepareError) as caught:
        async with prepared(engine, asked):
            pass
    return caught.value


class EngineContract:
    # Output

    async def test_a_line_comes_while_the_agent_is_still_at_work(self, engine: Engine, git: GitRepositories):
        endless = by_command("echo first; sleep 1000", timeout_s=1000)
        async with prepared(engine, spec(git.make("repo"))) as sandbox, aclosing(sandbox.vary(0, endless)) as items:
            async for item in items:
                assert isinstance(item, Line)
                if getattr(decode_line(item.data), "text", "") == "first\n":
                    return
        raise AssertionError("the agent, which never ends, ended")

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

    @pytest.mark.parametrize(
        ("command", "printed"),
        [
            (r"printf 'a\000b\n'", b"a\0b\n"),
            (r"printf 'broken \377\376 utf-8\n'", b"broken \xff\xfe utf-8\n"),
            (r"printf '\033[31mred\033[0m\r\n\n'", b"\033[31mred\033[0m\r\n\n"),
            (r"printf '\nid: 999\n\nevent: end\ndata: {}\n\n'", b"\nid: 999\n\nevent: end\ndata: {}\n\n"),
            (r"yes é | tr -d '\n' | head -c 200000; echo", "é".encode() * 100_000 + b"\n"),
            ("printf 'no newline'", b"no newline"),
            ("true", b""),
        ],
        ids=["NUL", "broken UTF-8", "ANSI", "event stream", "200 KB of é", "no newline", "nothing"],
    )  # fmt: skip
    async def test_output_comes_byte_for_byte(self, engine: Engine, git: GitRepositories, command: str, printed: bytes):
        result = await ran(engine, git, command)
        assert result.exit == 0
        assert result.printed() == printed

    async def test_a_line_of_100_mb_comes_within_the_limits(self, engine: Engine, git: GitRepositories):
        size = 100_000_000
        result = await ran(engine, git, f"head -c {size} /dev/zero | tr '\\000' x")
        withheld = [event for event in result.events if isinstance(event, Truncated)][-1].withheld_bytes
        assert len(result.printed()) + withheld == size
        assert len(result.printed()) < 16 << 20
        assert result.exit == 0

    async def test_the_final_output_has_every_line(self, engine: Engine, git: GitRepositories):
        async with prepared(engine, spec(git.make("repo"), setup=["echo set up"])) as sandbox:
            await vary(sandbox, 0, by_command("seq 1 50"))
            numbers = [decode_line(data).n for data in await sandbox.final_output(0)]
            assert numbers == list(range(1, 53))
            assert b"set up" in b"".join(await sandbox.final_output("setup"))

    # Ends

    @pytest.mark.parametrize(
        ("command", "timeout_s", "end"),
        [
            ("true", 60.0, (0, Outcome.SUBMITTED)),
            ("exit 9", 60.0, (3, Outcome.GAVE_UP)),
            ("kill -9 $$", 60.0, (3, Outcome.GAVE_UP)),
            ("kill $PPID; sleep 1000", 60.0, (70, Outcome.CRASHED)),
            ("trap '' TERM; sleep 1000", 1.0, (124, Outcome.TIMED_OUT)),
        ],
        ids=["submitted", "gave up", "command killed", "terminated", "deadline"],
    )
    async def test_an_end_has_its_exit_status(
        self, engine: Engine, git: GitRepositories, command: str, timeout_s: float, end: tuple[int, Outcome]
    ):
        result = await ran(engine, git, command, timeout_s=timeout_s)
        assert (result.exit, result.finished.outcome) == end

    async def test_a_death_by_signal_is_an_end_without_a_patch_and_leaves_the_siblings_alone(
        self, engine: Engine, git: GitRepositories
    ):
        command = '[ "$VARIATION_ID" = 1 ] || { kill -9 $PPID; sleep 1000; }; echo done > done'
        results: dict[int, Ran] = {}

        async def work(index: int) -> None:
            results[index] = await vary(sandbox, index, by_command(command))

        async with prepared(engine, spec(git.make("repo"))) as sandbox:
            async with anyio.create_task_group() as tasks:
                for index in range(2):
                    tasks.start_soon(work, index)
            assert [results[index].exit for index in range(2)] == [137, 0]
            with pytest.raises(PatchError):
                await sandbox.patch(0)
            assert b"+++ b/done" in await sandbox.patch(1)

    async def test_who_leaves_a_variation_kills_it_and_no_other(self, engine: Engine, git: GitRepositories):
        results: dict[int, Ran] = {}

        async def work(index: int) -> None:
            results[index] = await vary(sandbox, index, by_command("sleep 3; echo slept"))

        async with prepared(engine, spec(git.make("repo"))) as sandbox, anyio.create_task_group() as tasks:
            tasks.start_soon(work, 1)
            with anyio.fail_after(30):
                async with aclosing(sandbox.vary(0, by_command("trap '' TERM; sleep 1000", timeout_s=1000))) as items:
                    await anext(items)
        assert results[1].printed() == b"slept\n"

    # What agents are given

    async def test_the_command_gets_the_prompt_as_it_is(self, engine: Engine, git: GitRepositories):
        prompt = "{} %s ${x} {{7*7}} 'q' \"d\" `id` \\n é\n\tthe end "
        async with prepared(engine, spec(git.make("repo"))) as sandbox:
            result = await vary(sandbox, 0, by_command('printf %s "$PROMPT"', prompt=prompt))
        assert result.printed() == prompt.encode()

    async def test_the_scripted_agent_plays_the_repository_s_script(self, engine: Engine, git: GitRepositories):
        write = {"tool": "write", "arguments": {"path": "x", "content": "y\n"}}
        script = json.dumps({"turns": [{"calls": [write, {"tool": "submit"}]}]})
        url = git.make("repo", {**FILES, ".aideator/scripts/1.json": script})
        async with prepared(engine, spec(url)) as sandbox:
            played, own = await vary(sandbox, 1, scripted()), await vary(sandbox, 0, scripted())
            assert (played.exit, own.exit) == (0, 0)
            assert await sandbox.patch(1) == git.patch_of(url, "echo y > x")
            assert b"AIDEATOR-0.md" in await sandbox.patch(0)

    async def test_a_repository_cannot_replace_the_harness(self, engine: Engine, git: GitRepositories):
        hostile = "raise SystemExit('the harness is mine')\n"
        files = {"agent_image/__init__.py": hostile, "agent_image/__main__.py": hostile, "msgspec.py": hostile}
        async with prepared(engine, spec(git.make("repo", files))) as sandbox:
            result = await vary(sandbox, 0, by_command("echo fine"))
        assert result.printed() == b"fine\n"

    # Workspace

    async def test_a_ref_is_a_branch_a_tag_a_commit_or_nothing(self, engine: Engine, git: GitRepositories):
        url = git.make("repo")
        first = git.git("repo", "rev-parse", "HEAD").decode().strip()
        git.git("repo", "tag", "--annotate", "--message=A tag", "v1")
        git.git("repo", "branch", "feature/x")
        second = git.commit("repo", {"more.txt": "more"})
        for ref, commit in {"": second, "main": second, "v1": first, "feature/x": first, first: first}.items():
            with anyio.fail_after(LIMIT_S):
                async with engine.open(spec(url, ref=ref)) as sandbox:
                    assert (await prepare(sandbox))[1] == commit
                    assert (await vary(sandbox, 0, by_command("ls"))).printed().count(b"more.txt") == (commit == second)

    async def test_a_clone_that_fails_says_why(self, engine: Engine, git: GitRepositories):
        url, empty = git.make("repo"), git.make("empty", {})
        nowhere = "git://127.0.0.1:1/repo"
        assert (await fail(engine, spec(f"{git.url}/nothing"))).code == "clone.not_found"
        assert (await fail(engine, spec(url, ref="nothing"))).code == "clone.ref"
        assert (await fail(engine, spec(empty))).code == "clone.empty"
        assert (await fail(engine, spec(nowhere))).code == "clone.refused"

    async def test_setup_prints_live_and_every_variation_finds_what_it_made(self, engine: Engine, git: GitRepositories):
        asked = spec(git.make("repo"), setup=["echo setting up", "mkdir made; echo by setup > made/file"])
        with anyio.fail_after(LIMIT_S):
            async with engine.open(asked) as sandbox:
                events, _ = await prepare(sandbox)
                assert [event.n for event in events] == list(range(1, len(events) + 1))
                assert Ran(events, 0).printed() == b"setting up\n"
                assert Ran(events, 0).finished.outcome is Outcome.SUBMITTED
                for index in range(2):
                    result = await vary(sandbox, index, by_command("cat made/file; echo mine > made/file"))
                    assert result.printed() == b"by setup\n"

    async def test_setup_that_fails_says_so_with_its_output(self, engine: Engine, git: GitRepositories):
        with anyio.fail_after(LIMIT_S):
            async with engine.open(spec(git.make("repo"), setup=["echo before", "exit 4", "echo after"])) as sandbox:
                with pytest.raises(PrepareError) as caught:
                    await prepare(sandbox)
                assert caught.value.code == "setup.failed"
                lines = [decode_line(data) for data in await sandbox.final_output("setup")]
                assert Ran(lines, 3).printed() == b"before\n"
                assert Ran(lines, 3).finished.outcome is Outcome.GAVE_UP

    async def test_setup_that_never_ends_is_given_up(self, engine: Engine, git: GitRepositories):
        error = await fail(engine, spec(git.make("repo"), setup=["sleep 1000"], setup_timeout_s=5))
        assert error.code == "setup.timeout"

    # Patches

    async def test_a_patch_is_the_complete_difference_from_the_base(self, engine: Engine, git: GitRepositories):
        url = git.make("repo", CHANGED)
        nested = "git init --quiet nested; echo inside > nested/file; (cd nested; git add file)"
        async with prepared(engine, spec(url)) as sandbox:
            result = await vary(sandbox, 0, by_command(f"set -e\n{CHANGES}\n{nested}"))
            assert result.exit == 0, result.finished.reason
            patch = await sandbox.patch(0)
        without_commits = "\n".join(line for line in CHANGES.splitlines() if " commit " not in line)
        expected = git.patch_of(url, f"{without_commits}\nmkdir nested; echo inside > nested/file")
        assert patch == expected
        for sign in (
            b"deleted file",
            b"GIT binary patch",
            b"rename from",
            b"new mode 100755",
            b"120000",
            b"a name with",
        ):
            assert sign in patch

    async def test_an_agent_s_git_configuration_runs_nothing(self, engine: Engine, git: GitRepositories):
        config = "git config core.fsmonitor 'touch owned; false'; git config diff.x.textconv 'touch owned; cat'"
        attributes = "echo '* diff=x' > .gitattributes; echo changed > README.md; rm -rf .git/objects"
        url = git.make("repo")
        async with prepared(engine, spec(url)) as sandbox:
            await vary(sandbox, 0, by_command(f"{config}; {attributes}"))
            assert await sandbox.patch(0) == git.patch_of(
                url, "echo '* diff=x' > .gitattributes; echo changed > README.md"
            )

    async def test_no_change_is_an_empty_patch(self, engine: Engine, git: GitRepositories):
        async with prepared(engine, spec(git.make("repo"))) as sandbox:
            await vary(sandbox, 0, by_command("touch README.md"))
            assert await sandbox.patch(0) == b""

    async def test_each_variation_has_a_patch_of_its_own_however_it_ended(self, engine: Engine, git: GitRepositories):
        url = git.make("repo")
        command = 'echo "$VARIATION_ID" > mine; [ "$VARIATION_ID" = 0 ] || sleep 1000'
        async with prepared(engine, spec(url)) as sandbox:
            for index, exit_status in enumerate([0, 124]):
                result = await vary(sandbox, index, by_command(command, timeout_s=3))
                assert result.exit == exit_status
                assert await sandbox.patch(index) == git.patch_of(url, f"echo {index} > mine")
