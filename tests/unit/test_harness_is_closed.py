"""What runs below the harness, as the same user, cannot get into it: its token, its events, its memory."""

import sys
from pathlib import Path

import pytest
from harness_process import HARNESS
from unprivileged import unprivileged

from agent_image.events import Output, decode_line

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these")

BURGLAR = r"""
import ctypes, os, sys
PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
def attempt(name, act):
    try:
        act()
        print(name, "done", flush=True)
    except OSError as error:
        print(name, type(error).__name__, flush=True)
def trace():
    if libc.ptrace(PTRACE_SEIZE, int(sys.argv[1]), 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "")
for name, mode in (("environ", "rb"), ("fd/1", "ab"), ("mem", "rb"), ("maps", "rb"), ("exe", "rb")):
    attempt(name, lambda: open(f"/proc/{sys.argv[1]}/{name}", mode).read(1) if mode == "rb" else
        open(f"/proc/{sys.argv[1]}/{name}", mode).write(b""))
attempt("root", lambda: os.listdir(f"/proc/{sys.argv[1]}/root"))
attempt("trace", trace)
"""


def attempts(command: str) -> dict[str, str]:
    """What came of each attempt by such a command."""
    with unprivileged() as user:
        (user.folder / "burglar.py").write_text(BURGLAR)
        command = command.format(f"{sys.executable} burglar.py")
        ended = user.run([*HARNESS, "--agent=command", f"--command={command}"], {"AIDEATOR_TOKEN": "secret"})
    events = [decode_line(line) for line in ended.stdout.splitlines(keepends=True)]
    assert [event.n for event in events] == list(range(1, len(events) + 1))
    printed = "".join(event.text for event in events if isinstance(event, Output))
    assert (ended.returncode, ended.stderr) == (0, b""), printed
    return dict(line.split() for line in printed.splitlines())


def test_the_harness_lets_nobody_in():
    came_of = attempts("{} $PPID")
    assert came_of.keys() == {"environ", "fd/1", "mem", "maps", "exe", "root", "trace"}
    assert set(came_of.values()) == {"PermissionError"}


def test_what_an_agent_starts_is_its_own_affair():
    came_of = attempts("sleep 100 & {} $!; kill $!")
    assert (came_of["environ"], came_of["trace"]) == ("done", "done")


def test_what_an_agent_starts_is_killed_before_the_harness_when_memory_is_short():
    with unprivileged() as user:
        command = "cat /proc/self/oom_score_adj"
        ended = user.run([*HARNESS, "--agent=command", f"--command={command}"])
    ours = int(Path("/proc/self/oom_score_adj").read_text())
    (printed,) = [event.text for event in map(decode_line, ended.stdout.splitlines()) if isinstance(event, Output)]
    assert int(printed) > ours
