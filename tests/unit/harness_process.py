"""The real harness as a process of its own, and what it printed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from agent_image.events import Event, Finished, Output, Truncated, decode_line

ROOT = Path(__file__).parents[2]
HARNESS = [sys.executable, "-W", "error", "-P", "-m", "agent_image"]
SMALL_LIMITS = (
    "import sys; from agent_image.__main__ import main; from agent_image.output import Limits;"
    "sys.exit(main(Limits(live=20_000, tail=20_000, total=60_000, notice_s=0.2)))"
)

E = TypeVar("E", bound=Event)


class Printed(msgspec.Struct, frozen=True):
    status: int
    lines: list[bytes]
    stderr: bytes

    @property
    def events(self) -> list[Event]:
        return [decode_line(line) for line in self.lines]

    @property
    def finished(self) -> Finished:
        last = self.events[-1]
        assert isinstance(last, Finished)
        return last

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def output(self, stream: str = "stdout") -> bytes:
        return b"".join(event.data or event.text.encode() for event in self.all(Output) if event.stream == stream)

    @property
    def lost(self) -> int:
        """Bytes that the commands printed and nobody was shown; of one command at most."""
        return max((event.withheld_bytes for event in self.all(Truncated)[-1:]), default=0)


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    path = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**path, "PYTHONPATH": str(ROOT), **(variables or {})}


def start(
    *arguments: str,
    directory: Path,
    variables: Mapping[str, str] | None = None,
    python: Sequence[str] = HARNESS,
    stdout: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*python, *arguments],
        cwd=directory,
        env=environment(variables),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


def run(
    *arguments: str,
    directory: Path,
    variables: Mapping[str, str] | None = None,
    python: Sequence[str] = HARNESS,
) -> Printed:
    """Run the harness to its end; whatever it does, its numbers are dense and its lines fit."""
    with start(*arguments, directory=directory, variables=variables, python=python) as process:
        stdout, stderr = process.communicate(timeout=50)
    printed = Printed(process.returncode, stdout.splitlines(keepends=True), stderr)
    assert [event.n for event in printed.events] == list(range(1, len(printed.lines) + 1))
    assert all(len(line) <= 16 * 1024 and line.isascii() for line in printed.lines)
    return printed


def run_command(command: str, *arguments: str, directory: Path, python: Sequence[str] = HARNESS) -> Printed:
    return run("--agent=command", f"--command={command}", *arguments, directory=directory, python=python)


def until(is_so: Callable[[], bool], limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def pids(file: Path) -> list[int]:
    """Return the process ids that commands have appended to a file so far."""
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def terminate(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
