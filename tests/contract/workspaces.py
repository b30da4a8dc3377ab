import socket

import anyio
import pytest

from agent_image.events import Outcome, decode_line
from service.engine import Engine
from service.errors import PrepareError
from tests.contract.sandboxes import LIMIT_S, Ran, by_command, fail, prepare, prepared, spec, vary
from tests.git_repositories import GitRepositories


class WorkspacesContract:
    """What variations share: the repository at a commit, and what setup commands make of it."""

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

    async def test_a_run_begins_at_what_the_ref_is_now(self, engine: Engine, git: GitRepositories):
        url = git.make("repo")
        for number in range(2):
            commit = git.commit("repo", {"number": str(number)})
            async with prepared(engine, spec(url)) as sandbox:
                result = await vary(sandbox, 0, by_command("cat number; git rev-parse HEAD; git status --short"))
                assert result.printed() == f"{number}{commit}\n".encode()

    async def test_a_clone_that_fails_says_why(self, engine: Engine, git: GitRepositories):
        url, empty = git.make("repo"), git.make("empty", {})
        nowhere = "git://127.0.0.1:1/repo"
        assert (await fail(engine, spec(f"{git.url}/nothing"))).code == "clone.not_found"
        assert (await fail(engine, spec(url, ref="nothing"))).code == "clone.ref"
        assert (await fail(engine, spec(url, ref="0123456789" * 4))).code == "clone.ref"
        assert (await fail(engine, spec(empty))).code == "clone.empty"
        assert (await fail(engine, spec(nowhere))).code == "clone.refused"

    async def test_a_remote_that_says_nothing_is_given_up(self, engine: Engine):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"git://127.0.0.1:{silent.getsockname()[1]}/repo"
            assert (await fail(engine, spec(url, clone_timeout_s=2))).code == "clone.timeout"

    async def test_setup_prints_live_and_every_variation_finds_what_it_made(self, engine: Engine, git: GitRepositories):
        asked = spec(git.make("repo"), setup=["echo setting up", "mkdir made; echo by setup | tee made/file > ~/file"])
        with anyio.fail_after(LIMIT_S):
            async with engine.open(asked) as sandbox:
                events, _ = await prepare(sandbox)
                assert [event.n for event in events] == list(range(1, len(events) + 1))
                assert Ran(events, 0).printed() == b"setting up\n"
                assert Ran(events, 0).finished.outcome is Outcome.SUBMITTED
                for index in range(2):
                    command = "cat made/file ~/file; echo mine | tee made/file > ~/file"
                    assert (await vary(sandbox, index, by_command(command))).printed() == b"by setup\n" * 2

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

    async def test_submodules_are_there_or_not_as_the_engine_declares(self, engine: Engine, git: GitRepositories):
        git.make("library", {"inside": "of the library\n"})
        url = git.make("repo")
        git.git("repo", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../library", "library")
        git.git("repo", "commit", "--quiet", "--message=With a library")
        async with prepared(engine, spec(url)) as sandbox:
            change = "ls library; echo > library/new; rm -f library/inside; echo > own"
            result = await vary(sandbox, 0, by_command(change))
            assert (result.printed() == b"") == engine.capabilities.leaves_out_submodules
            assert await sandbox.patch(0) == git.patch_of(url, "echo > own"), "a submodule is not ours to change"
