import json
import os

from service.engine import Engine
from tests.contract.sandboxes import by_command, prepared, scripted, spec, vary
from tests.git_repositories import FILES, GitRepositories

OURS = "PYTEST_CURRENT_TEST"
"""A variable that is in this process's environment while a test runs, and in nobody else's."""

# Every environment that can be read, its own first.
LOOK = "env; cat /proc/[0-9]*/environ 2>/dev/null | tr '\\000' '\\n'; :"


class SurroundingsContract:
    """What agents are given, and what is kept from them."""

    async def test_the_command_gets_the_prompt_as_it_is(self, engine: Engine, git: GitRepositories):
        prompt = "{} %s ${x} {{7*7}} 'q' \"d\" `id` \\n é\n\tthe end "
        async with prepared(engine, spec(git.make("repo"))) as sandbox:
            result = await vary(sandbox, 0, by_command('printf %s "$PROMPT"', prompt=prompt))
        assert result.printed() == prompt.encode()

    async def test_a_variation_knows_its_run_and_its_number(self, engine: Engine, git: GitRepositories):
        asked = spec(git.make("repo"))
        async with prepared(engine, asked) as sandbox:
            result = await vary(sandbox, 3, by_command('echo "$RUN_ID $VARIATION_ID"'))
        assert result.printed() == f"{asked.run_id} 3\n".encode()

    async def test_nothing_of_the_service_s_environment_reaches_setup_or_agent(
        self, engine: Engine, git: GitRepositories
    ):
        assert OURS in os.environ
        async with prepared(engine, spec(git.make("repo"), setup=[f"({LOOK}) > seen"])) as sandbox:
            result = await vary(sandbox, 0, by_command(f"cat seen; {LOOK}"))
        assert result.exit == 0
        assert result.printed().count(b"PATH=") >= 2, "both have looked"
        assert OURS.encode() not in result.printed()
        assert os.environ[OURS].encode() not in result.printed()

    async def test_what_a_variation_leaves_outside_its_workspace_is_for_nobody(
        self, engine: Engine, git: GitRepositories
    ):
        async with prepared(engine, spec(git.make("repo"))) as sandbox:
            left = await vary(sandbox, 0, by_command("for each in /tmp ~; do echo > $each/mine && echo ok; done"))
            found = await vary(sandbox, 1, by_command("cat /tmp/mine ~/mine; :"))
        assert left.printed() == b"ok\n" * 2
        assert (found.exit, found.printed()) == (0, b"")

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
