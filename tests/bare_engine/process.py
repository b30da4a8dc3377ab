"""A background process that outlives the command that started it, known by a file."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.bare_engine.errors import BareEngineError

# A background process keeps no directory busy: neither a checkout nor a test's.
FROM_ROOT = ("/bin/sh", "-c", 'cd / && exec "$@"', "sh")


@dataclass(frozen=True)
class Process:
    """A background process: its log, and the file that says who it is.

    The file holds the process id and the time that process started, in ticks since boot. An id is given out again
    after a while; the pair is not.
    """

    identity: Path
    log: Path

    def spawn(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Start `command` in a session of its own and return its process id; its output is appended to the log."""
        for parent in {self.identity.parent, self.log.parent}:
            parent.mkdir(parents=True, exist_ok=True)
        output = (os.POSIX_SPAWN_OPEN, 1, str(self.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        pid = os.posix_spawn(
            FROM_ROOT[0],
            [*FROM_ROOT, *command],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                output,
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        self.identity.write_text(f"{pid} {started_at(pid)}\n")
        return pid

    def pid(self) -> int | None:
        """Return the process id while it runs, else None."""
        try:
            pid, started = self.identity.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        if started_at(int(pid)) != started:
            return None
        return None if has_ended(int(pid)) else int(pid)

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; False if the process does not run."""
        pid = self.pid()
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return True

    def ended_within(self, seconds: float) -> bool:
        """Wait for the process to end; False if it has not after `seconds`."""
        deadline = time.monotonic() + seconds
        while self.pid() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def failure(self, sentence: str) -> BareEngineError:
        """Return the error to raise: `sentence`, where the log is, and how it ends."""
        return BareEngineError(f"{sentence}; the end of {self.log}:\n{last_lines(self.log)}")


def started_at(pid: int) -> str | None:
    """Return when a process started, in ticks since boot; None if there is none."""
    fields = stat(pid)
    return fields[19] if fields else None


def has_ended(pid: int) -> bool:
    """Say whether nothing is left of a process, or only its zombie; one of our own is let go of."""
    fields = stat(pid)
    if fields and fields[0] != "Z":
        return False
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return True


def stat(pid: int) -> list[str]:
    """Return what the kernel says of a process from its state on; empty if there is none."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    # Before the state comes the program's name in brackets, which may hold spaces and brackets.
    return line.rpartition(")")[2].split()


def last_lines(log: Path, count: int = 12) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(f"  {line}" for line in lines[-count:])
