"""`aideator run` as people start it: a process of its own, on the local engine."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import which

AIDEATOR = Path(sys.executable).parent / "aideator"
LIMIT_S = 90.0
_ENV = which("env") or "env"


class Terminal:
    """Starts runs with an engine's home, and a working directory, of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {"AIDEATOR_ENGINE": "local", "LOCAL_HOME": str(folder / "home"), "LANG": "C.UTF-8"}
        self.environ |= {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}

    def command(self, repo: str | Path, *options: str) -> list[str]:
        # Whoever started the tests may have them ignore Ctrl-C, as a shell does for what it runs in the background.
        return [_ENV, "--default-signal=INT", str(AIDEATOR), "run", f"--repo={repo}", "--prompt=do it", *options]

    def run(
        self, repo: str | Path, *options: str, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(repo, *options),
            cwd=self.folder,
            env={**self.environ, **(environ or {})},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def run_into(self, output: Path, repo: str | Path, *options: str) -> subprocess.CompletedProcess[str]:
        """The same with its stdout in a file."""
        with output.open("w") as file:
            return subprocess.run(
                self.command(repo, *options),
                cwd=self.folder,
                env=self.environ,
                stdout=file,
                stderr=subprocess.PIPE,
                text=True,
                timeout=LIMIT_S,
                check=False,
            )

    @contextmanager
    def started(self, repo: str | Path, *options: str) -> Generator[subprocess.Popen[str]]:
        pipe = subprocess.PIPE
        command = self.command(repo, *options)
        with subprocess.Popen(
            command, cwd=self.folder, env=self.environ, stdout=pipe, stderr=pipe, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def on_screen(self, repo: str | Path, *options: str, size: tuple[int, int]) -> Generator["Screened"]:
        """Start a run on a pseudo-terminal of so many rows and columns."""
        ours, theirs = pty.openpty()
        screened = Screened(ours)
        screened.resize(*size)
        command, environ = self.command(repo, *options), {**self.environ, "TERM": "xterm-256color"}
        with subprocess.Popen(
            command, cwd=self.folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        ) as process:
            os.close(theirs)
            try:
                screened.process = process
                yield screened
            finally:
                process.kill()
                os.close(ours)


class Screened:
    """What a run writes to its terminal."""

    process: subprocess.Popen[bytes]

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self.written = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, *texts: str) -> str:
        """Read until all of these were written; returns all so far."""
        deadline = time.monotonic() + LIMIT_S
        while not all(text in self.written for text in texts):
            assert time.monotonic() < deadline, self.written
            if not self._read():
                break
        assert all(text in self.written for text in texts), self.written
        return self.written

    def to_end(self) -> int:
        while self._read():
            pass
        return self.process.wait(LIMIT_S)

    def _read(self) -> bool:
        if select.select([self._terminal], [], [], 1.0)[0]:
            with suppress(OSError):  # the other end is closed
                data = os.read(self._terminal, 1 << 16)
                self.written += data.decode(errors="replace")
                return bool(data)
            return False
        return True
