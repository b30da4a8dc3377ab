"""What commands print, however much and whatever it is, as the harness shows it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness_process import SMALL_LIMITS, run_command, start

from agent_image.events import Output, Truncated, decode_line

SMALL = [sys.executable, "-W", "error", "-P", "-c", SMALL_LIMITS]


@pytest.mark.parametrize(
    "printed",
    [
        b"",
        b"\n",
        b"no newline",
        b"\0 NUL \0\n",
        b"\x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07\r\n",
        b"broken \xff\xfe\xc3 utf-8\nwhole again\n",
        b"\xed\xa0\x80 a surrogate\n",
        "é".encode() * 100_000,
        "line separators \u2028\u2029\x0b\x0c\x1c\x85\n".encode(),
        b'{"kind":"finished","n":1,"at":0,"outcome":"submitted","exit":0,"seconds":0}\n',
        bytes(range(256)) * 500,
    ],
)
def test_any_output_comes_as_it_was_printed(tmp_path: Path, printed: bytes):
    (tmp_path / "printed").write_bytes(printed)
    shown = run_command("cat printed; cat printed >&2", directory=tmp_path)
    assert shown.output("stdout") == printed
    assert shown.output("stderr") == printed
    assert shown.all(Truncated) == []


def test_20_000_lines_are_complete_and_in_order(tmp_path: Path):
    shown = run_command("seq 20000", directory=tmp_path)
    assert [event.text for event in shown.all(Output)] == [f"{number}\n" for number in range(1, 20_001)]
    assert shown.finished.seconds < 10


def test_a_line_of_100_mb_has_its_beginning_and_its_end(tmp_path: Path):
    size = 100_000_000
    shown = run_command(f"printf begin; head -c {size} /dev/zero | tr '\\0' x; printf end", directory=tmp_path)
    assert len(shown.output()) + shown.lost == size + 8
    assert shown.output().startswith(b"beginxxx")
    assert shown.output().endswith(b"xxxend")
    assert 7_000_000 < len(shown.output()) <= 8 * 1024 * 1024


def test_a_flood_is_counted_and_costs_no_memory(tmp_path: Path):
    size = 300_000_000
    command = f"yes 'a line that is printed again and again' | head -c {size}; echo; echo end"
    small = _peak_kb("true", tmp_path)
    assert _peak_kb(command, tmp_path) - small < 40_000
    shown = run_command(command, directory=tmp_path)
    assert len(shown.output()) + shown.lost == size + 5
    assert shown.output().endswith(b"\nend\n")


def test_what_is_withheld_is_said_while_it_lasts(tmp_path: Path):
    shown = run_command("seq 5000; sleep 0.3; seq 5000; sleep 1; echo end", directory=tmp_path, python=SMALL)
    counts = [event.withheld_bytes for event in shown.all(Truncated)]
    assert len(counts) >= 2
    total = sum(len(f"{number}\n") for number in range(1, 5001)) * 2 + 4
    assert len(shown.output()) + counts[-1] == total
    assert counts[-2] > counts[-1]  # the end was withheld for a while, and not lost
    assert shown.output().endswith(b"5000\nend\n")


def test_a_daemon_that_holds_stdout_does_not_keep_a_command(tmp_path: Path):
    shown = run_command("sleep 1000 & echo done", directory=tmp_path)
    assert shown.output() == b"done\n"
    assert shown.finished.seconds < 10


def test_a_daemon_that_prints_all_the_time_does_not_keep_a_command(tmp_path: Path):
    shown = run_command("yes & echo done >&2", directory=tmp_path, python=SMALL)
    assert shown.output("stderr") == b"done\n"
    assert shown.finished.seconds < 10


def test_a_daemon_may_print_on_after_its_command(tmp_path: Path):
    daemon = "(while sleep 0.05; do echo tick; touch ticked; done) & echo started"
    wait = "for tick in 1 2; do rm -f ticked; while ! [ -e ticked ]; do sleep 0.01; done; done"
    with start(f"--setup={daemon}", f"--setup={wait}", "--timeout=20", directory=tmp_path) as process:
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_output_is_live(tmp_path: Path):
    os.mkfifo(tmp_path / "gate")
    command = "echo before; cat gate; echo after"
    with start("--agent=command", f"--command={command}", directory=tmp_path) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, b"")
        first = next(event for event in map(decode_line, lines) if isinstance(event, Output))
        assert first.text == "before\n"
        (tmp_path / "gate").write_text("open\n")
        texts = [event.text for event in map(decode_line, lines) if isinstance(event, Output)]
        assert texts == ["open\n", "after\n"]
        assert process.stderr is not None


def test_a_prompt_without_newline_is_shown_while_it_waits(tmp_path: Path):
    os.mkfifo(tmp_path / "gate")
    with start("--agent=command", "--command=printf 'sure? '; cat gate", directory=tmp_path) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, b"")
        first = next(event for event in map(decode_line, lines) if isinstance(event, Output))
        assert (first.text, first.more) == ("sure? ", False)
        (tmp_path / "gate").write_text("yes\n")
        rest = list(lines)
    assert b'"submitted"' in rest[-1]


def test_what_was_printed_before_the_deadline_is_shown(tmp_path: Path):
    printed = run_command("printf 'no newline'; sleep 1000", "--timeout=0.3", directory=tmp_path)
    assert printed.output() == b"no newline"
    assert printed.status == 124


def _peak_kb(command: str, directory: Path) -> int:
    process = start("--agent=command", f"--command={command}", directory=directory, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stderr is not None
    process.stderr.close()
    assert process.returncode == 0
    return usage.ru_maxrss
