"""`aideator run` in a folder that strangers wrote: nothing of it is run on this machine, and nothing is believed."""

import os
import subprocess
from pathlib import Path

import pytest
from msgspec import structs

from service.engine.choose import choose_engine
from service.settings import Settings
from service.terminal.repository import repository
from tests.service.terminal import Terminal

CHANGE = ("--agent=command", "--command=echo made > made")


class Hostile:
    """A repository whose every setting that names a command leaves a mark."""

    def __init__(self, folder: Path, marks: Path) -> None:
        self.folder, self.marks = folder, marks
        marks.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        (folder / ".gitattributes").write_text("* filter=evil diff=evil\n")
        (folder / "README.md").write_text("# Read me\n")
        self.git("add", "--all")
        self.git("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--message=one")
        self.hooks()
        for name in ("filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "diff.evil.textconv"):
            self.git("config", name, self.command(name))
        for name in (
            "core.fsmonitor",
            "core.sshCommand",
            "core.gitProxy",
            "uploadpack.packObjectsHook",
            "diff.external",
        ):
            self.git("config", name, self.command(name))
        self.git("config", "filter.evil.required", "true")
        (folder / ".git" / "more").write_text(f'[filter "evil.too"]\n\tclean = {self.command("included")}\n')
        self.git("config", "include.path", "more")
        self.git("config", "extensions.worktreeConfig", "true")
        worktree = f'[filter "evil"]\n\tclean = {self.command("worktree")}\n'
        (folder / ".git" / "config.worktree").write_text(worktree)
        for name in ("uploadarch", "receivepack", "uploadpack"):
            self.git("config", f"daemon.{name}", "true")
        self.git("config", "tar.evil.command", self.command("tar"))
        self.git("config", "tar.evil.remote", "true")
        (folder / "README.md").write_text("# Reed me\n")  # as long as it was, so that git would compare contents

    def command(self, mark: str) -> str:
        return f"touch {self.marks}/{mark}; cat"

    def hooks(self) -> None:
        hooks = self.folder / ".git" / "evil"
        hooks.mkdir()
        for name in ("post-index-change", "pre-receive", "update", "post-update", "post-receive"):
            (hooks / name).write_text(f"#!/bin/sh\n{self.command(name)}\n")
            (hooks / name).chmod(0o755)
        self.git("config", "core.hooksPath", str(hooks))

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", "-C", self.folder, *arguments], check=True)

    def marked(self) -> list[str]:
        return sorted(path.name for path in self.marks.iterdir())


@pytest.fixture
def hostile(tmp_path: Path) -> Hostile:
    (tmp_path / "hostile").mkdir()
    return Hostile(tmp_path / "hostile", tmp_path / "marks")


@pytest.fixture
def terminal(tmp_path: Path, hostile: Hostile) -> Terminal:
    found = Terminal(hostile.folder)
    found.environ["LOCAL_HOME"] = str(tmp_path / "home")
    return found


def test_no_command_that_its_git_names_is_run(terminal: Terminal, hostile: Hostile):
    done = terminal.run(".", *CHANGE, "-n1")
    assert done.returncode == 0, done.stderr
    assert "1 file is not committed" in done.stderr
    assert hostile.marked() == []


def test_its_settings_are_not_read_and_those_of_a_file_that_is_named_are(terminal: Terminal, hostile: Hostile):
    key = f"cmd://touch {hostile.marks}/key"
    evil = f'[evil]\nwire = "chat"\nbase_url = "http://127.0.0.1:9"\nkey = "{key}"\n'
    (hostile.folder / "providers.toml").write_text(evil)
    (hostile.folder / ".env").write_text("MAX_VARIATIONS=1\nLOCAL_NETWORK=everything\nPORT=none\n")
    done = terminal.run(".", *CHANGE, "-n2")
    assert done.returncode == 0, done.stderr
    done = terminal.run(".", "--agent=builtin", "--model=evil/x", "-n1")
    assert (done.returncode, "no provider for 'evil/x'" in done.stderr) == (2, True)
    assert hostile.marked() == []

    done = terminal.run(".", *CHANGE, "-n2", "--env-file=.env")
    assert (done.returncode, "PORT: " in done.stderr or "LOCAL_NETWORK: " in done.stderr) == (2, True)
    done = terminal.run(".", *CHANGE, "--env-file=nowhere")
    assert (done.returncode, done.stderr) == (2, "Error: --env-file: nowhere: No such file or directory\n")


def test_the_engine_that_it_notes_is_not_taken_nor_the_program_that_it_names(terminal: Terminal, hostile: Hostile):
    program = hostile.folder / "dagger"
    program.write_text(f"#!/bin/sh\n{hostile.command('cli')}\n")
    program.chmod(0o755)
    noted = f"_EXPERIMENTAL_DAGGER_RUNNER_HOST=kube-pod://evil\n_EXPERIMENTAL_DAGGER_CLI_BIN={program}\n"
    (hostile.folder / ".engine").mkdir()
    (hostile.folder / ".engine" / "env").write_text(noted)
    nowhere = f"unix://{hostile.folder}/nobody.sock"
    terminal.run(".", *CHANGE, "-n1", "--ref=nowhere", environ={"AIDEATOR_ENGINE": "auto", "DOCKER_HOST": nowhere})
    assert hostile.marked() == []


@pytest.mark.parametrize("host", ["kube-pod://evil", "tcp://127.0.0.1:9", "docker-image://evil", "unix://", "unix:///"])
async def test_of_a_noted_engine_only_a_socket_of_ours_is_believed(tmp_path: Path, host: str):
    (tmp_path / ".engine").mkdir()
    (tmp_path / ".engine" / "env").write_text(f"_EXPERIMENTAL_DAGGER_RUNNER_HOST={host}\n")
    environ = {"PATH": os.environ["PATH"], "DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"}
    settings = structs.replace(Settings(), local_home=str(tmp_path / "home"))
    chosen = await choose_engine(settings, environ, tmp_path)
    assert chosen.engine.capabilities.name == "local"
    assert "no Dagger engine is named" in chosen.reason


def test_a_served_folder_is_read_and_nothing_else(hostile: Hostile, tmp_path: Path):
    def ask(*arguments: str) -> int:
        return subprocess.run(["git", "-C", tmp_path, *arguments], capture_output=True, check=False).returncode

    with repository(str(hostile.folder), tmp_path / "home") as found:
        assert ask("clone", "--quiet", found.url, "cloned") == 0
        assert ask("archive", "--format=evil", f"--remote={found.url}", "HEAD") != 0
        assert ask("-C", "cloned", "push", found.url, "HEAD:refs/heads/other") != 0
        assert hostile.marked() == []
        # Even where objects are missing, and are said to be elsewhere.
        for name, value in {"promisor": "true", "partialclonefilter": "blob:none", "url": "ssh://nobody/x"}.items():
            hostile.git("config", f"remote.origin.{name}", value)
        hostile.git("config", "extensions.partialClone", "origin")
        blob = subprocess.check_output(["git", "-C", hostile.folder, "rev-parse", "HEAD:README.md"], text=True).strip()
        (hostile.folder / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
        assert ask("clone", "--quiet", found.url, "again") != 0
    assert hostile.marked() == []


def test_a_folder_is_served_where_nobody_else_can_guess_and_each_time_in_the_same_place(
    hostile: Hostile, tmp_path: Path
):
    folder = str(hostile.folder)
    with repository(folder, tmp_path / "home") as found:
        server, secret, name = found.url.rsplit("/", 2)
        assert (len(secret), name) == (32, "hostile")
        for guess in ("", name, f"{'0' * 32}/{name}"):
            asked = subprocess.run(["git", "ls-remote", f"{server}/{guess}"], capture_output=True, check=False)
            assert asked.returncode != 0
    with repository(folder, tmp_path / "home") as again, repository(folder, tmp_path / "other") as other:
        assert again.url == found.url
        assert other.url.rsplit("/", 2)[1] != secret
    assert (tmp_path / "home" / "served.secret").stat().st_mode & 0o777 == 0o600
