"""The tools of our own server `git`, on real repositories, some of them with a hostile configuration."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent_image.excerpt import LONGEST
from agent_image.mcp.git_tools import GitTools
from agent_image.tools import ToolError


@pytest.fixture
def git(tmp_path: Path) -> "Repository":
    """A repository with one commit, and a change since."""
    repository = Repository(tmp_path / "repository")
    repository.run("init", "--quiet", "--initial-branch=main")
    (repository.path / "a.txt").write_text("one\n")
    repository.run("add", ".")
    repository.run("commit", "--quiet", "--message=first")
    (repository.path / "a.txt").write_text("one\ntwo\n")
    return repository


class Repository:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    @property
    def tools(self) -> GitTools:
        return GitTools(self.path)

    def run(self, *arguments: str) -> str:
        nobody = ["-c", "user.name=Ann", "-c", "user.email=ann@example.invalid"]
        done = subprocess.run(["git", *nobody, *arguments], cwd=self.path, check=True, capture_output=True, text=True)
        return done.stdout


async def test_a_change_is_seen_staged_committed_and_in_the_log(git: Repository):
    assert await git.tools.status() == "## main\n M a.txt\n"
    assert "\n+two\n" in await git.tools.diff()
    assert await git.tools.add(["a.txt"]) == "## main\nM  a.txt\n"
    assert await git.tools.diff() == "git printed nothing"
    assert "\n+two\n" in await git.tools.diff(staged=True)
    assert "second" in await git.tools.commit("second\n\nand why")
    assert [line.strip() for line in (await git.tools.log()).splitlines()[1::2]] == ["second", "first"]
    assert "\n+two\n" in await git.tools.show()
    assert await git.tools.show("HEAD~1:a.txt") == "one\n"
    assert (
        "\n-two\n" in await git.tools.diff("HEAD", ["a.txt"]) or await git.tools.diff("HEAD") == "git printed nothing"
    )
    assert "* main" in await git.tools.branches()


async def test_blame_names_the_commit_of_each_line(git: Repository):
    lines = (await git.tools.blame("a.txt", first=1, last=2)).splitlines()
    assert "(Ann " in lines[0]
    assert "(Not Committed Yet " in lines[1]
    assert (await git.tools.blame("a.txt", ref="HEAD")).count("\n") == 1


async def test_changes_are_taken_off_the_stage_and_thrown_away(git: Repository):
    await git.tools.add(["a.txt"])
    assert await git.tools.restore(["a.txt"], staged=True) == "## main\n M a.txt\n"
    assert await git.tools.restore(["a.txt"]) == "## main\n"
    assert (git.path / "a.txt").read_text() == "one\n"


async def test_a_commit_needs_nobody_to_be_known(git: Repository, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    git.run("config", "user.useConfigOnly", "true")
    await git.tools.add(["a.txt"])
    await git.tools.commit("second")
    assert git.run("log", "-1", "--format=%ae") == "agent@aideator.invalid\n"


async def test_a_commit_is_made_by_who_is_known(git: Repository):
    git.run("config", "user.name", "Bea")
    git.run("config", "user.email", "bea@example.invalid")
    await git.tools.add(["a.txt"])
    await git.tools.commit("second")
    assert git.run("log", "-1", "--format=%ae") == "bea@example.invalid\n"


async def test_files_of_any_name_are_themselves_and_no_pattern(git: Repository):
    for name in ("*", "-f", ":(top)", "é \"'"):
        (git.path / name).write_text("x")
    assert "A  *\n" in await git.tools.add(["*"])
    status = await git.tools.add(["-f", ":(top)", "é \"'"])
    assert "?? " not in status
    assert " M a.txt\n" in status


async def test_a_long_answer_loses_its_middle(git: Repository):
    (git.path / "a.txt").write_text("".join(f"{number}\n" for number in range(100_000)))
    answer = await git.tools.diff()
    assert len(answer) <= LONGEST
    assert answer.startswith("diff --git")
    assert answer.endswith("+99999\n")


@pytest.mark.parametrize("ref", ["--output=stolen", "-p", "a\nb", "a\0b"])
async def test_what_is_no_ref_is_refused(git: Repository, ref: str):
    for ask in (git.tools.diff(ref), git.tools.log(ref), git.tools.show(ref), git.tools.restore(["a.txt"], ref)):
        with pytest.raises(ToolError, match="is no ref"):
            await ask
    assert not (git.path / "stolen").exists()


@pytest.mark.parametrize("path", ["..", "/etc/passwd", "../other", "sub/../../other", "a\0b"])
async def test_no_path_leads_outside(git: Repository, path: str):
    (git.path.parent / "other").write_text("secret\n")
    for ask in (git.tools.diff("", [path, path]), git.tools.blame(path), git.tools.add([path])):
        with pytest.raises(ToolError, match="is not inside the repository"):
            await ask


async def test_a_link_that_leads_outside_is_a_link(git: Repository):
    (git.path.parent / "other").mkdir()
    (git.path.parent / "other/file").write_text("secret\n")
    (git.path / "link").symlink_to("../other")
    await git.tools.add(["link"])
    assert "secret" not in await git.tools.diff(staged=True)
    with pytest.raises(ToolError, match="beyond a symbolic link"):
        await git.tools.add(["link/file"])


async def test_what_git_says_is_wrong_is_told(git: Repository):
    with pytest.raises(ToolError, match="bad revision 'nowhere'"):
        await git.tools.diff("nowhere")
    with pytest.raises(ToolError, match="no changes added to commit"):
        await git.tools.commit("empty")


async def test_a_directory_below_a_repository_is_none(git: Repository):
    (git.path / "sub").mkdir()
    with pytest.raises(ToolError, match="not a git repository"):
        await GitTools(git.path / "sub").status()


async def test_somebody_elses_repository_can_be_looked_at(git: Repository):
    if os.getuid() == 0:
        for path in (git.path, git.path / ".git"):
            os.chown(path, 12345, 12345)
    assert await git.tools.status() == "## main\n M a.txt\n"


class Evil:
    """A program that takes down that it was run."""

    def __init__(self, path: Path, mark: Path) -> None:
        self.path = str(path)
        self._mark = mark
        path.write_text(f"#!/bin/sh\ntouch {mark}\n")
        path.chmod(0o755)

    @property
    def was_run(self) -> bool:
        return self._mark.exists()


@pytest.fixture
def evil(git: Repository) -> Evil:
    return Evil(git.path / "evil.sh", git.path.parent / "ran")


async def test_no_command_of_the_repositorys_configuration_is_run(git: Repository, evil: Evil):
    (git.path / ".gitattributes").write_text("* filter=evil diff=evil\nb.txt filter=worse\n")
    (git.path / "b.txt").write_text("b\n")
    for name in ("core.fsmonitor", "core.pager", "core.editor", "gpg.program", "diff.external", "diff.evil.command",
                 "diff.evil.textconv", "filter.evil.clean", "filter.evil.smudge", "filter.worse.process"):  # fmt: skip
        git.run("config", name, evil.path)
    for name in ("filter.evil.required", "commit.gpgSign", "log.showSignature", "commit.verbose"):
        git.run("config", name, "true")
    git.run("config", "core.worktree", "/")
    for hook in ("pre-commit", "commit-msg", "post-commit", "prepare-commit-msg", "post-index-change", "post-checkout"):
        shutil.copy(evil.path, git.path / ".git/hooks" / hook)
    await git.tools.status()
    await git.tools.diff()
    await git.tools.add(["a.txt", "b.txt", ".gitattributes"])
    await git.tools.diff(staged=True)
    await git.tools.commit("second")
    await git.tools.log()
    await git.tools.show()
    await git.tools.blame("a.txt")
    (git.path / "a.txt").unlink()
    await git.tools.restore(["a.txt"])
    await git.tools.branches()
    assert (git.path / "a.txt").read_text() == "one\ntwo\n"
    assert not evil.was_run
    for name in ("core.worktree", "filter.evil.required", "filter.worse.process"):
        git.run("config", "--unset", name)
    git.run("status")
    assert evil.was_run, "git itself runs none of them either"


async def test_an_included_configuration_is_the_repositorys_own(git: Repository, evil: Evil):
    (git.path / ".gitattributes").write_text("* filter=evil\n")
    (git.path / "included").write_text('[filter "evil"]\n\tclean = ./evil.sh\n')
    git.run("config", "include.path", "../included")
    await git.tools.add(["a.txt"])
    assert not evil.was_run
    git.run("add", "--renormalize", ".")
    assert evil.was_run, "git itself does not run it either"


async def test_a_filter_that_cannot_be_turned_off_is_not_run(git: Repository, evil: Evil):
    (git.path / ".gitattributes").write_text("* filter=a=b\n")
    with (git.path / ".git/config").open("a") as config:
        config.write('[filter "a=b"]\n\tclean = ./evil.sh\n')
    with pytest.raises(ToolError, match="cannot be turned off"):
        await git.tools.add(["a.txt"])
    assert not evil.was_run


async def test_a_machines_own_filters_are_run(git: Repository, evil: Evil, monkeypatch: pytest.MonkeyPatch):
    (git.path / ".gitattributes").write_text("* filter=ours\n")
    (git.path.parent / "global").write_text('[filter "ours"]\n\tclean = ./evil.sh\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(git.path.parent / "global"))
    await git.tools.add(["a.txt"])
    assert evil.was_run


async def test_submodules_are_not_asked(git: Repository, evil: Evil):
    inner = Repository(git.path / "inner")
    inner.run("init", "--quiet")
    (inner.path / "x").write_text("x")
    inner.run("add", ".")
    inner.run("commit", "--quiet", "--message=inner")
    git.run("-c", "advice.addEmbeddedRepo=false", "add", "inner")
    git.run("commit", "--quiet", "--message=with inner")
    inner.run("config", "core.fsmonitor", evil.path)
    (inner.path / "x").write_text("y")
    await git.tools.status()
    await git.tools.diff()
    assert not evil.was_run
    git.run("status")
    assert evil.was_run, "git itself does not ask them either"
