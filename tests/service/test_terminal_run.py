"""`aideator run`: what it prints, what it leaves, and its exit status."""

import json
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from xml.etree.ElementTree import Element, fromstring

import pytest

from tests.git_repositories import GitRepositories
from tests.processes import is_stopped, processes_of
from tests.service.postgres_home import postmaster
from tests.service.terminal import LIMIT_S, Terminal

Found = TypeVar("Found")
ENDING = "ending; a moment\n"
CHANGE = ("--agent=command", "--command=echo hello from $VARIATION_ID; echo $VARIATION_ID > made; sleep 0.2")
STRANGE = "\x1b[31m<&\"'>\x07 \ufffe"


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


def until(look: Callable[[], Found]) -> Found:
    """Wait for what is there at some time."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        with suppress(StopIteration, FileNotFoundError):
            if found := look():
                return found
        time.sleep(0.01)
    raise TimeoutError


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
    title = next(number for number, line in enumerate(lines) if re.fullmatch(r"run [0-9a-f-]{36}: succeeded", line))
    assert re.findall(r"\w+", lines[title + 2])[:2] == ["variation", "state"]
    assert re.findall(r"\w+", lines[title + 4])[:3] == ["0", "command", "succeeded"]
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
    assert (process.returncode, errors) == (130, ENDING)
    assert logged(rest)[-1]["event"]["state"] == "cancelled"
    assert (output / "0.patch").exists()
    assert [case.find("skipped") is None for case in cases(report)] == [True, False]
    assert processes_of(run_id) == []
    assert not home.exists()


def test_a_second_ctrl_c_waits_for_no_agent(terminal: Terminal, git: GitRepositories, tmp_path: Path):
    # A harness that is stopped cannot end when it is asked to.
    command = "--command=echo > made; [ $VARIATION_ID = 0 ] || { kill -STOP $PPID; sleep 1000; }"
    report, output = tmp_path / "report.xml", tmp_path / "out"
    keep = (f"--junit={report}", f"--output={output}", "--json", "--timeout=60")
    with terminal.started(git.make("repo"), "--agent=command", command, "-n2", *keep) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        ended = next(found for found in map(json.loads, process.stdout) if found["event"].get("state") == "succeeded")
        until(lambda: any(is_stopped(pid) for pid in processes_of(ended["run_id"])))
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == ENDING
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, errors) == (130, "")
    assert logged(rest)[-1]["event"]["state"] == "cancelled"
    assert (output / "0.patch").exists()
    assert [[each.attrib.get("type") for each in case] for case in cases(report)] == [[None], ["cancelled"]]


def test_ctrl_c_after_the_last_frame_loses_nothing(terminal: Terminal, git: GitRepositories, tmp_path: Path):
    report, output = tmp_path / "report.xml", tmp_path / "out"
    keep = (f"--junit={report}", f"--output={output}", "--json")
    with terminal.started(git.make("repo"), *CHANGE, "-n2", *keep) as process:
        assert process.stdout is not None
        log = map(json.loads, process.stdout)
        next(each for each in log if each["variation_id"] is None and each["event"].get("state") == "succeeded")
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 130
    assert sorted(path.name for path in output.glob("*.patch")) == ["0.patch", "1.patch"]
    assert [case.find("system-out") is None for case in cases(report)] == [False, False]


def test_ctrl_c_while_the_program_loads_ends_it_without_a_word(terminal: Terminal):
    with terminal.started("nowhere") as process:
        until(lambda: "/msgspec/" in Path(f"/proc/{process.pid}/maps").read_text())
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, output) == (130, "")
    assert errors in {"", ENDING}


def test_ctrl_c_before_the_run_has_begun_says_so_at_once_and_leaves_a_report_and_no_folder(
    terminal: Terminal, git: GitRepositories, tmp_path: Path
):
    report = tmp_path / "report.xml"
    with terminal.started(git.make("repo"), f"--junit={report}", f"--output={tmp_path / 'out'}") as process:
        home = until(lambda: home_of(process.pid))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, errors) == (130, ENDING)
    (case,) = cases(report)
    assert [each.attrib["type"] for each in case] == ["interrupted"]
    assert not (tmp_path / "out").exists()
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
