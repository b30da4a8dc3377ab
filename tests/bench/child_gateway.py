"""A run's gateway as a child process, at a port of this machine."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import msgspec
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from service.engine import Models

_ROOT = Path(__file__).parents[2]
_START_S = 60.0
_END_S = 10.0


class ChildGateway:
    """It listens on a port of its own choice; `url` is there once it does."""

    def __init__(self, models: Models, folder: Path) -> None:
        self._models = models
        self._folder = folder
        self._process: Process
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["ChildGateway"]:
        plan = self._folder / "plan.json"
        plan.write_bytes(msgspec.json.encode(self._models.plan))
        plan.chmod(0o600)
        self._process = await anyio.open_process(
            [
                sys.executable,
                "-P",
                "-m",
                "agent_image.gateway",
                f"--plan={plan}",
                "--listen=127.0.0.1:0",
                "--with-parent",
            ],
            cwd=_ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **self._models.keys},
            stdin=subprocess.DEVNULL,
        )
        try:
            self.url = await self._listening()
            yield self
        finally:
            with anyio.CancelScope(shield=True):
                await self._stop()

    async def lines(self) -> AsyncGenerator[bytes]:
        """What it prints, to its end."""
        assert self._process.stdout is not None
        rest = b""
        async for chunk in self._process.stdout:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line

    def end(self) -> None:
        """Let it come to its end, and `lines` with it."""
        self._process.terminate()

    async def _listening(self) -> str:
        assert self._process.stderr is not None
        with anyio.fail_after(_START_S):
            line = await BufferedByteReceiveStream(self._process.stderr).receive_until(b"\n", 65_536)
        address = line.decode().removeprefix("listening on ")
        assert address != line.decode(), line
        return f"http://{address}"

    async def _stop(self) -> None:
        with suppress(ProcessLookupError):
            self._process.terminate()
        with anyio.move_on_after(_END_S):
            await self._process.wait()
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.aclose()
