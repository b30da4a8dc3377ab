"""`aideator run`: what it prints, what it leaves, and its exit status."""

import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest

from tests.git_repositories import GitRepositories
from tests.processes import processes_of
from tests.service.postgres_home import postmaster
from tests.service.terminal import LIMIT_S, Terminal

CHANGE = ("--agent=command", "--command=echo hello from $VARIATION_ID; echo $VARIATION_ID > made; sleep 0.2")
STRANGE = "\x1b[31m<&\"'>\x07 \ufffe"
GREEN, ALTERNATE = "\x1b[32m", "\x1b[?1049h"


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


@pytest.fixture
def repo(git: GitRepositories, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a repository, as people have them: with a change that is not committed."""
    folder = tmp_path_factory.mktemp("work") / "my project"
    git.make("repo")
    git.git(".", "clone", "--quiet", "repo", str(folder))
    (folder / "README.md").write_text("# Not committed\n")
    return folder


def cases(report: Path) -> list[Element]:
    return list(fromstring(report.read_bytes()).iter("testcase"))


def home_of(pid: int) -> Path:
    """Where the Postgres of a run is: it holds a lock there."""
    held = (path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir())
    return next(path for path in held if path.name == "users.lock").parents[1]


def logged(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_leaves_patches_log_and_report_and_says_what_it_did_in_plain_lines(
    terminal: Terminal, repo: Path, git: GitRepositories, tmp_path: Path
):
    output, report = tmp_path / "new" / "out", tmp_path / "report.xml"
    done = terminal.run(repo / "src", *CHANGE, "-n3", f"--output={output}", f"--junit={report}")
    assert done.returncode == 0, done.stderr
    assert "1 file is not committed" in done.stderr
    assert "\x1b" not in done.stdout
    first, *lines = done.stdout.splitlines()
    assert first == "engine: local, because AIDEATOR_ENGINE is local"
    assert "agent 2 │   hello from 2" in lines
    assert sorted(path.name for path in output.iterdir()) == ["0.patch", "1.patch", "2.patch", "log.jsonl"]
    for index in range(3):
        git.git("repo", "apply", "--check", str(output / f"{index}.patch"))
        assert f"+{index}\n" in (output / f"{index}.patch").read_text()
    log = logged((output / "log.jsonl").read_text())
    assert [each["seq"] for each in log] == list(range(1, len(log) + 1))
    assert log[-1]["event"]["state"] == "succeeded"
    assert [case.findtext("system-out") for case in cases(report)] == [str(output / f"{n}.patch") for n in range(3)]
    assert all(float(case.attrib["time"]) > 0 for case in cases(report))


def test_json_is_the_log_and_nothing_else(terminal: Terminal, git: GitRepositories):
    # By its URL, too: what a person names, on this machine even, may be cloned.
    done = terminal.run(git.make("other"), *CHANGE, "-n2", "--json", "--ref=main")
    assert (done.returncode, done.stderr) == (0, "")
    log = logged(done.stdout)
    assert [each["seq"] for each in log] == list(range(1, len(log) + 1))
    assert {each["run_id"] for each in log} == {log[0]["run_id"]}
    assert sorted(each["content"] for each in log if each["type"] == "output") == ["hello from 0\n", "hello from 1\n"]
    assert log[-1]["event"] == {"kind": "state_changed", "state": "succeeded"}


def test_a_run_without_a_patch_ends_with_1_and_a_report_that_any_xml_parser_takes(
    terminal: Terminal, git: GitRepositories, tmp_path: Path
):
    report, url = tmp_path / "report.xml", git.make("repo")
    say = f"--prompt={STRANGE}"
    done = terminal.run(
        url, "--agent=command", "--command=echo x >> README.md; exit 5", say, f"--junit={report}", "-n1"
    )
    assert done.returncode == 1, done.stderr
    (case,) = cases(report)
    failure = case.find("failure")
    assert failure is not None
    assert failure.attrib["type"] == "agent.gave_up"
    assert "1 patch, not kept: --output DIR keeps them" in done.stdout

    done = terminal.run(url, "--agent=command", "--command=true", say, f"--junit={report}", "-n1")
    assert done.returncode == 1
    assert cases(report)[0].find("skipped") is not None

    done = terminal.run(url, "--ref=nowhere", f"--junit={report}", "-n2")
    assert done.returncode == 1
    assert "clone.ref" in report.read_text()
    assert [each.find("error") is not None for each in cases(report)] == [True, True]


def test_what_is_refused_ends_with_2_and_one_sentence(terminal: Terminal, git: GitRepositories, tmp_path: Path):
    url = git.make("repo")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    refused = {
        "--what": "No such option",
        "-n0": "Invalid value for '-n'",
        "--agent=nope": "is not one of 'builtin', 'claude-code', 'codex', 'command'",
        "-n6": "variations: ",
        "--prompt= ": "prompt: there is nothing in it",
        "--image=node:22": "image: on the engine local agents run on this machine's own system",
        "--timeout=nan": "timeout_s: ",
        "--repo=nowhere": "repo_url: nowhere is neither a folder nor a URL",
        "--repo=git@example.com:a/b": "over https it is https://example.com/a/b",
        f"--repo={tmp_path / 'full' / 'mine'}": "is a file, and no folder",
        f"--repo={tmp_path}": "not a git repository",
        "--repo=ssh://git@example.com/a": "repo_url: the scheme is one of",
        "--repo=https://user:secret@example.com/a": "repo_url: a repository URL holds no user name",
        "--output=full": "--output: full is not empty",
        "--junit=none/report.xml": "--junit: none/report.xml is no place for a file",
    }
    with ThreadPoolExecutor(4) as several:
        done = list(several.map(terminal.run, [url] * len(refused), refused))
    for (option, said), each in zip(refused.items(), done, strict=True):
        assert (each.returncode, each.stdout) == (2, ""), (option, each)
        assert said in each.stderr, (option, each.stderr)
        assert "secret" not in each.stderr
        assert "Traceback" not in each.stderr
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]


def test_what_is_refused_and_what_cannot_be_written_is_reported_too(
    terminal: Terminal, git: GitRepositories, tmp_path: Path
):
    url, report = git.make("repo"), tmp_path / "report.xml"
    refused = {"-n0": "request.invalid", "--what": "request.invalid", "--repo=nowhere": "repo_url.scheme"}
    for option, code in {**refused, "--env-file=nowhere": "settings.invalid"}.items():
        assert terminal.run(url, option, f"--junit={report}").returncode == 2
        error = cases(report)[0].find("error")
        assert error is not None
        assert error.attrib["type"] == code
        report.unlink()
    done = terminal.run(url, *CHANGE, "-n1", "--junit=/dev/full")
    assert (done.returncode, done.stderr) == (3, "Error: /dev/full: No space left on device\n")
    assert "1 patch, not kept" in done.stdout


def test_help_has_the_exit_statuses_a_line_each(terminal: Terminal):
    lines = terminal.run("x", "--help").stdout.splitlines()
    assert [line.split()[0] for line in lines if line.lstrip()[:1].isdigit()] == ["0", "1", "2", "3", "130"]


def test_without_an_engine_it_ends_with_3_says_what_to_install_and_reports_it(
    terminal: Terminal, git: GitRepositories, tmp_path: Path
):
    url, report, programs = git.make("repo"), tmp_path / "report.xml", tmp_path / "bin"
    programs.mkdir()
    for name in ("git", "cp", "chmod"):  # the last two bring Postgres to where it runs
        (programs / name).symlink_to(subprocess.check_output(["which", name], text=True).strip())
    dead = f"unix://{tmp_path}/nobody.sock"
    environ = {"_EXPERIMENTAL_DAGGER_RUNNER_HOST": dead, "AIDEATOR_ENGINE": "auto", "PATH": str(programs)}
    done = terminal.run(url, f"--junit={report}", environ=environ)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"no Dagger engine answers at {dead}" in done.stderr
    assert "bubblewrap is not installed" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    (case,) = cases(report)
    error = case.find("error")
    assert error is not None
    assert error.attrib["type"] == "engine.unavailable"

    done = terminal.run(url, environ={**environ, "AIDEATOR_ENGINE": "dagger"})
    assert (done.returncode, done.stdout) == (3, "")
    assert dead in done.stderr


def test_ctrl_c_ends_the_run_and_keeps_what_there_is(terminal: Terminal, git: GitRepositories, tmp_path: Path):
    command = "echo $VARIATION_ID > made; [ $VARIATION_ID = 0 ] || exec sleep 1000"
    report, output = tmp_path / "report.xml", tmp_path / "out"
    keep = (f"--junit={report}", f"--output={output}", "--json")
    with terminal.started(git.make("repo"), "--agent=command", f"--command={command}", "-n2", *keep) as process:
        assert process.stdout is not None
        log: list[dict[str, Any]] = []
        for line in process.stdout:
            log.append(json.loads(line))
            started = {each["variation_id"] for each in log if each["type"] == "started"}
            ended = {each["variation_id"] for each in log if each["event"].get("state") == "succeeded"}
            if (started, ended) == ({0, 1}, {0}):
                break
        run_id, home = log[0]["run_id"], home_of(process.pid)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, errors) == (130, "")
    assert logged(rest)[-1]["event"]["state"] == "cancelled"
    assert (output / "0.patch").exists()
    assert [case.find("skipped") is None for case in cases(report)] == [True, False]
    assert processes_of(run_id) == []
    assert not home.exists()


def test_what_a_killed_run_left_is_removed_by_a_later_one(terminal: Terminal, git: GitRepositories):
    url = git.make("repo")
    with terminal.started(url, "--agent=command", "--command=echo here; exec sleep 1000", "-n1") as process:
        assert process.stdout is not None
        next(line for line in process.stdout if "here" in line)
        home = home_of(process.pid)
        process.kill()
    server = postmaster(home / "postgres")
    os.utime(home, (0, 0))
    assert terminal.run(url, *CHANGE, "-n1").returncode == 0
    assert not home.exists()
    assert not Path(f"/proc/{server}").exists()


def test_a_reader_that_leaves_ends_the_run(terminal: Terminal, git: GitRepositories):
    run = (git.make("repo"), "--agent=command", "--command=echo here; while :; do echo; sleep 0.1; done", "-n1")
    with terminal.started(*run) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if "here" in line)
        process.stdout.close()
        assert process.wait(LIMIT_S) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_terminal_shows_a_panel_for_each_variation_then_the_table(terminal: Terminal, git: GitRepositories):
    with terminal.on_screen(git.make("repo"), *CHANGE, "-n3", size=(40, 120)) as screen:
        grid = screen.until(ALTERNATE, "0 command · running", "hello from 2")
        assert "agent 0 │" not in grid
        assert screen.to_end() == 0
        end = screen.written.rpartition("\x1b[?1049l")[2]
        assert "succeeded" in end
        assert GREEN in end
        assert "3 patches, not kept" in end


def test_a_terminal_that_is_or_gets_too_small_shows_lines(terminal: Terminal, git: GitRepositories):
    with terminal.on_screen(git.make("repo"), *CHANGE, "-n3", size=(12, 60)) as screen:
        assert screen.to_end() == 0
        assert ALTERNATE not in screen.written
        assert "hello from 2" in screen.written
    waits = "--command=echo before; until [ -e README.md.now ]; do sleep 0.1; echo tick; done"
    with terminal.on_screen(git.make("other"), "--agent=command", waits, "-n2", size=(40, 120)) as screen:
        screen.until(ALTERNATE, "before")
        screen.resize(10, 60)
        screen.until("\x1b[?1049l", "agent 1 │ ")
        screen.process.send_signal(signal.SIGTERM)
        assert screen.to_end() == 130
