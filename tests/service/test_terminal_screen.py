"""`aideator run` on a terminal: panels while it goes on, and what stays on the screen."""

import re
import signal
from pathlib import Path

import pytest

from tests.git_repositories import GitRepositories
from tests.service.terminal import Terminal
from tests.service.test_terminal_run import CHANGE

GREEN, ALTERNATE, LEFT = "\x1b[32m", "\x1b[?1049h", "\x1b[?1049l"


def lines(written: str) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in written.splitlines()]


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_a_terminal_shows_a_panel_for_each_variation_then_the_table(terminal: Terminal, git: GitRepositories):
    with terminal.on_screen(git.make("repo"), *CHANGE, "-n3", size=(40, 120)) as screen:
        grid = screen.until(ALTERNATE, "0 command · running", "hello from 2")
        assert "agent 0 │" not in grid
        assert screen.to_end() == 0
        end = screen.written.rpartition("\x1b[?1049l")[2]
        assert "succeeded" in end
        assert GREEN in end
        assert "3 patches, not kept" in end


def test_what_failed_leaves_its_last_words_below_the_table(terminal: Terminal, git: GitRepositories):
    work = "--command=seq 100; [ $VARIATION_ID = 1 ] && exit 5; echo > made"
    with terminal.on_screen(git.make("repo"), "--agent=command", work, "-n2", size=(40, 80)) as screen:
        assert screen.to_end() == 0
        end = lines(screen.written.rpartition(LEFT)[2])
    words = [line for line in end if line.startswith("agent")]
    assert words[-3:] == ["agent 1 │   99", "agent 1 │   100", "agent 1 │ ● failed: the command ended with status 5"]
    assert {line.partition(" │")[0] for line in words} == {"agent 1"}
    assert len(words) <= 10

    broken = "--setup=echo no such package; exit 7"
    with terminal.on_screen(git.make("other"), *CHANGE, broken, "-n2", size=(40, 80)) as screen:
        assert screen.to_end() == 1
        assert "  run │ no such package" in lines(screen.written.rpartition(LEFT)[2])


def test_ctrl_c_is_answered_at_once_in_the_head(terminal: Terminal, git: GitRepositories):
    waits = "--command=echo at work; exec sleep 1000"
    with terminal.on_screen(git.make("repo"), "--agent=command", waits, "-n2", size=(40, 80)) as screen:
        screen.until(ALTERNATE, "at work")
        screen.process.send_signal(signal.SIGINT)
        screen.until("ending; a moment")
        assert screen.to_end() == 130
        assert "cancelled" in screen.written.rpartition(LEFT)[2]


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
