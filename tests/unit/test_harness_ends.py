"""The harness as a process, from outside: how it ends, and that nothing survives it."""

import fcntl
import json
import os
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from harness_process import HARNESS, environment, is_gone, pids, run, run_command, start, terminate, until

from agent_image.events import Finished, Outcome, Started, decode_line

DAEMON = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
for _ in range(2):
    if os.fork():
        os._exit(0)
    os.setsid()
with open(sys.argv[1], "a") as file:
    print(os.getpid(), file=file, flush=True)
time.sleep(1000)
"""
RABBIT = """
import os, signal, sys, time
os.setsid()
print("running", flush=True)
end = time.monotonic() + 30
while time.monotonic() < end:
    if os.fork():
        os._exit(0)
with open(sys.argv[1], "w") as file:
    file.write("it got away")
"""


@pytest.fixture
def daemon(tmp_path: Path) -> str:
    """A command that leaves a daemon behind, forked twice, deaf to SIGTERM; its id goes into the file `pids`."""
    (tmp_path / "daemon.py").write_text(DAEMON)
    return f"{sys.executable} daemon.py pids; while ! [ -s pids ]; do sleep 0.01; done"


def test_it_begins_with_started_and_ends_with_finished(tmp_path: Path):
    printed = run_command("echo hello; echo oops >&2", directory=tmp_path)
    assert printed.events[0] == Started(n=1, at=printed.events[0].at, agent="command")
    assert printed.finished.outcome is Outcome.SUBMITTED
    assert (printed.status, printed.finished.exit, printed.stderr) == (0, 0, b"")
    assert (printed.output("stdout"), printed.output("stderr")) == (b"hello\n", b"oops\n")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("exit 7", "the command ended with status 7"),
        ("kill -9 $$", "the command died by signal 9"),
        ("no-such-command-anywhere 2>/dev/null", "the command ended with status 127"),
    ],
)
def test_a_command_that_fails_has_given_up(tmp_path: Path, command: str, reason: str):
    printed = run_command(command, directory=tmp_path)
    assert printed.status == 3
    assert (printed.finished.outcome, printed.finished.reason) == (Outcome.GAVE_UP, reason)


def test_no_descendant_outlives_the_deadline(tmp_path: Path, daemon: str):
    printed = run_command(f"{daemon}; trap '' TERM; sleep 1000", "--timeout=1.5", directory=tmp_path)
    assert printed.status == 124
    assert printed.finished.outcome is Outcome.TIMED_OUT
    assert printed.finished.reason == "the time limit of 1.5 s was reached"
    assert 1.5 <= printed.finished.seconds < 3
    assert all(is_gone(pid) for pid in pids(tmp_path / "pids"))


def test_no_descendant_outlives_a_success(tmp_path: Path, daemon: str):
    printed = run_command(daemon, directory=tmp_path)
    assert printed.finished.outcome is Outcome.SUBMITTED
    assert printed.finished.seconds < 10
    (pid,) = pids(tmp_path / "pids")
    assert is_gone(pid)


def test_one_that_forks_all_the_time_is_caught(tmp_path: Path):
    (tmp_path / "rabbit.py").write_text(RABBIT)
    printed = run_command(f"{sys.executable} rabbit.py away & sleep 1000", "--timeout=1", directory=tmp_path)
    assert printed.output() == b"running\n"
    assert printed.finished.seconds < 12
    assert not (tmp_path / "away").exists()


def test_sigterm_ends_it_at_once_with_a_last_word(tmp_path: Path, daemon: str):
    process = start("--agent=command", f"--command={daemon}; trap '' TERM; sleep 1000", directory=tmp_path)
    until(lambda: bool(pids(tmp_path / "pids")))
    terminate(process)
    stdout, _ = process.communicate(timeout=3)
    finished = decode_line(stdout.splitlines()[-1])
    assert isinstance(finished, Finished)
    assert (finished.outcome, finished.reason, process.returncode) == (Outcome.CRASHED, "terminated", 70)
    assert is_gone(pids(tmp_path / "pids")[0])


@pytest.mark.parametrize(("terminated", "status"), [(False, 124), (True, 70)])
def test_a_stdout_that_nobody_reads_does_not_keep_it(tmp_path: Path, daemon: str, *, terminated: bool, status: int):
    reader, writer = os.pipe()
    timeout = "1000" if terminated else "1.5"
    arguments = ["--agent=command", f"--command={daemon}; yes", f"--timeout={timeout}", "--result=out/result.json"]
    with start(*arguments, directory=tmp_path, stdout=writer) as process:
        until(lambda: bool(pids(tmp_path / "pids")) and _unread(reader) > 40_000)
        if terminated:
            terminate(process)
        assert process.wait(timeout=10) == status
    os.close(reader)
    os.close(writer)
    assert is_gone(pids(tmp_path / "pids")[0])
    outcome = "crashed" if terminated else "timed_out"
    assert json.loads((tmp_path / "out/result.json").read_text())["outcome"] == outcome


def test_a_reader_that_goes_away_ends_it(tmp_path: Path, daemon: str):
    with start("--agent=command", f"--command={daemon}; yes", directory=tmp_path) as process:
        assert process.stdout is not None
        until(lambda: bool(pids(tmp_path / "pids")))
        process.stdout.close()
        assert process.wait(timeout=5) == 70
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert is_gone(pids(tmp_path / "pids")[0])


def test_a_closed_stdout_ends_it_before_it_begins(tmp_path: Path):
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *HARNESS, "--agent=command", "--command=touch began"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, check=False, timeout=10)
    assert (ended.returncode, ended.stderr) == (70, b"")
    assert not (tmp_path / "began").exists()


def test_a_workdir_that_is_missing_is_a_crash_with_a_reason(tmp_path: Path):
    printed = run_command("true", "--workdir=/no/such/place", directory=tmp_path)
    assert printed.status == 70
    assert printed.finished.outcome is Outcome.CRASHED
    assert printed.finished.reason == "there is no directory /no/such/place"


def test_a_shell_that_is_missing_is_a_crash_with_a_reason(tmp_path: Path):
    printed = run("--agent=command", "--command=true", directory=tmp_path, variables={"PATH": "/nowhere"})
    assert printed.status == 70
    assert "No such file or directory: 'sh'" in printed.finished.reason


def test_it_tells_how_it_ended_in_a_file(tmp_path: Path):
    printed = run_command("exit 1", "--result", str(tmp_path / "new/dir/result.json"), directory=tmp_path)
    result = json.loads((tmp_path / "new/dir/result.json").read_bytes())
    assert (result["outcome"], result["exit"]) == ("gave_up", 3)
    assert result["seconds"] == pytest.approx(printed.finished.seconds, abs=0.5)


def _unread(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
