"""The gateway as a process of its own, and what it printed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TypeVar

import httpx2
import msgspec

from agent_image.events import Event, Finished, Started, decode_line
from agent_image.gateway.plan import Plan

ROOT = Path(__file__).parents[2]
GATEWAY = [sys.executable, "-W", "error", "-P", "-m", "agent_image.gateway"]
CONTROL = "the-control-token"
KEYS = {"GOOD_KEY": "fake-key", "WRONG_KEY": "wrong-key"}
"""By variable."""
LIMIT_S = 30.0
NO_TLS = SSLContext(PROTOCOL_TLS_CLIENT)
"""Enough where nobody is asked by https; one that trusts the usual authorities takes a tenth of a second to make."""
HTTP = httpx2.Client(verify=NO_TLS, timeout=LIMIT_S, limits=httpx2.Limits(max_keepalive_connections=0))

E = TypeVar("E", bound=Event)


class GatewayProcess:
    """One that runs; its events are here as they come."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        assert process.stderr
        self.process = process
        self.lines: list[bytes] = []
        self.stderr: list[bytes] = []
        self._readers = [
            Thread(target=self.lines.extend, args=[process.stdout]),
            Thread(target=self.stderr.extend, args=[process.stderr]),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def url(self) -> str:
        return "http://" + self.address

    @property
    def address(self) -> str:
        """Where it says that it listens; waits until it has."""
        until(lambda: bool(self.stderr) or self.process.poll() is not None)
        assert self.stderr[0].startswith(b"listening on "), self.stderr
        return self.stderr[0].split()[-1].decode()

    def all(self, kind: type[E]) -> list[E]:
        """Return what it has printed, as far as it has come here."""
        return [event for event in map(decode_line, list(self.lines)) if isinstance(event, kind)]

    def ledger(self, kind: type[E]) -> list[E]:
        """Return what it has told, up to now."""
        lines = self.control("GET", "/control/ledger").content.splitlines()
        return [event for event in map(decode_line, lines) if isinstance(event, kind)]

    def control(self, method: str, path: str, *, token: str = CONTROL) -> httpx2.Response:
        return HTTP.request(method, self.url + path, headers={"authorization": f"Bearer {token}"})

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to end and return its exit status, when all that it printed is here."""
        self.process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        status = self.process.wait(LIMIT_S)
        for reader in self._readers:
            reader.join(LIMIT_S)
        return status


@contextmanager
def gateway(plan: Plan, *arguments: str) -> Generator[GatewayProcess]:
    """Run one; at the end of the block it has to end well, and to have told nobody its keys."""
    with TemporaryDirectory(prefix="gateway-") as folder:
        file = Path(folder, "plan.json")
        file.write_bytes(msgspec.json.encode(plan))
        with start("--plan", str(file), *(arguments or ("--listen", "127.0.0.1:0"))) as process:
            try:
                running = GatewayProcess(process)
                yield running
                status = running.end()
            finally:
                process.kill()
    assert (status, running.stderr[1:]) == (0, [])
    assert_well_told(running)


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*GATEWAY, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **KEYS},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def assert_well_told(ended: GatewayProcess) -> None:
    events = [decode_line(line) for line in ended.lines]
    assert [event.n for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert_keyless(b"".join([*ended.lines, *ended.stderr]))


def assert_keyless(text: bytes) -> None:
    assert not any(key.encode() in text for key in KEYS.values())


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)
