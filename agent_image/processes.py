"""Every process below the harness: started, reaped and, in the end, killed."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import anyio
from anyio.abc import TaskStatus

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")
_SOONER = 500
"""What is added to the points, of 1000, by which the kernel chooses whom to kill when memory is short."""


def adopt_orphans() -> None:
    """Make this process the parent of every descendant that loses its own, however it forked; on Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def keep_to_ourselves() -> None:
    """Let no process of our own user trace this one, read its memory and variables, or open its files; on Linux only.

    Root may still.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


class Child:
    """A process that was started here. Its streams can be read, and written, without blocking."""

    def __init__(self, process: subprocess.Popen[bytes], *, stdout: int, stderr: int) -> None:
        self._process = process
        self.pid = process.pid
        self.stdout = stdout
        self.stderr = stderr
        self.ended = anyio.Event()

    @property
    def status(self) -> int | None:
        """Its exit status; a signal's number, negative; None while it runs."""
        return self._process.returncode

    @property
    def stdin(self) -> IO[bytes] | None:
        """Where what it reads is written, unbuffered; None if it has nothing to read."""
        return self._process.stdin

    def kill(self) -> None:
        """Kill it with its process group; what has left that is killed when all are."""
        if self.status is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def end(self, status: int) -> None:
        # Popen would wait for it too, if it did not know.
        self._process.returncode = status
        self.ended.set()


class _Score:
    """Whom the kernel kills when memory is short: rather what was started here than us, who can tell of it.

    Children inherit the score. Ours cannot be opened any more once we keep to ourselves, so it is open from the start.
    """

    def __init__(self) -> None:
        self._file: int | None = None
        with suppress(OSError):
            self._file = os.open(_PROC / "self/oom_score_adj", os.O_RDWR)

    @contextmanager
    def raised(self) -> Generator[None]:
        if self._file is None:
            yield
            return
        own = os.pread(self._file, 10, 0)
        os.pwrite(self._file, b"%d" % min(int(own) + _SOONER, 1000), 0)
        try:
            yield
        finally:
            os.pwrite(self._file, own, 0)


class Processes:
    """What was started here, and what that started.

    Everything is reaped in one place: two who wait for processes take each other's.
    """

    def __init__(self) -> None:
        self._running: dict[int, Child] = {}
        self._score = _Score()

    def start(
        self,
        command: Sequence[str],
        *,
        directory: Path,
        environment: Mapping[str, str],
        stdin: int = subprocess.DEVNULL,
    ) -> Child:
        """Start `command` in a session of its own, with nothing to read unless `stdin` is `subprocess.PIPE`."""
        stdout, stdout_end = os.pipe()
        stderr, stderr_end = os.pipe()
        try:
            with self._score.raised():
                process = subprocess.Popen(
                    command,
                    cwd=directory,
                    env=environment,
                    stdin=stdin,
                    stdout=stdout_end,
                    stderr=stderr_end,
                    start_new_session=True,
                    bufsize=0,
                )
        except OSError:
            os.close(stdout)
            os.close(stderr)
            raise
        finally:
            os.close(stdout_end)
            os.close(stderr_end)
        os.set_blocking(stdout, False)
        os.set_blocking(stderr, False)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
        child = self._running[process.pid] = Child(process, stdout=stdout, stderr=stderr)
        return child

    async def reap_forever(self, *, task_status: TaskStatus[None]) -> None:
        """Reap whatever dies; has to run before anything starts."""
        with anyio.open_signal_receiver(signal.SIGCHLD) as deaths:
            task_status.started()
            async for _ in deaths:
                self._reap()

    def living(self) -> frozenset[int]:
        """Return the ids of all descendants that live."""
        parents = dict(_processes())
        family = {os.getpid()}
        while found := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= found
        return frozenset(family - {os.getpid()})

    def kill_all(self, limit_s: float = 10.0) -> None:
        """Return when no descendant is left, not one; or after `limit_s`, for the kernel may hold one.

        Whoever has a descendant has a child, alive or not yet reaped, once orphans are adopted: so none is left when
        there is no child, and no list of processes, which could be too old, decides.
        """
        until = time.monotonic() + limit_s
        while self._reap() and time.monotonic() < until:
            if not self._kill_but(frozenset()):
                time.sleep(0.001)

    def kill_since(self, before: frozenset[int], limit_s: float = 2.0) -> None:
        """Kill what was started since `living()` returned `before`, and leave what those before started."""
        until = time.monotonic() + limit_s
        while self._kill_but(before) and time.monotonic() < until:
            self._reap()
            time.sleep(0.001)
        self._reap()

    def _kill_but(self, spared: frozenset[int]) -> int:
        """Kill every descendant but those spared and theirs; return how many were alive."""
        family, left_alone = {os.getpid()}, set(spared)
        for pid in self._running.keys() - spared:  # where there is no /proc, this is all we can do
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        # Killed as they are found: between a list and its use, one that forks all the time would have moved on.
        for pid, parent in _processes():
            if pid in left_alone or parent in left_alone:
                left_alone.add(pid)
            elif parent in family:
                family.add(pid)
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        return len(family) - 1

    def _reap(self) -> bool:
        """Reap every child that is dead; return whether there are others."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if child := self._running.pop(pid, None):
                child.end(os.waitstatus_to_exitcode(status))


def _processes() -> Iterator[tuple[int, int]]:
    """Yield id and parent's id of every process of the machine that is alive, by id; none where there is no /proc."""
    with suppress(FileNotFoundError):
        for pid in sorted(int(name) for name in os.listdir(_PROC) if name.isdigit()):  # noqa: PTH208 Path is slow
            with suppress(OSError):  # it is gone
                # Id, name in brackets, state, parent, …; the name may have brackets too.
                state, parent = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[:2]
                if state not in b"ZX":
                    yield pid, int(parent)
