"""The gateway of a run as a child process on this machine: sandboxes reach it by a socket that they are shown."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from pathlib import Path
from signal import Signals

import anyio
import httpx2
import msgspec
from anyio.abc import Process

from agent_image import events
from service.engine import Models
from service.engine.lines import LineSplitter
from service.engine.local.confinement import Bind
from service.engine.local.outward import outward
from service.engine.local.pipe import Tail, new_pipe
from service.engine.signals import send_signal
from service.errors import EngineError

SOCKET = "/run/aideator/gateway.sock"
"""Where sandboxes find it."""

_ROOT = Path(events.__file__).parents[1]
_END_S = 10.0
_NAME = "gateway.sock"


class LocalGateway:
    """Keeps its plan and its socket in `folder`."""

    def __init__(self, models: Models, folder: Path) -> None:
        self._models = models
        self._folder = folder
        self._tokens = {grant.variation: grant.token for grant in models.plan.grants}
        self._process: Process
        self._errors: Tail
        self._control: httpx2.AsyncClient
        self.was_told_to_end = False
        self.binds = (Bind(folder / _NAME, SOCKET),)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Start it; at the end of the block it is gone."""
        plan = self._folder / "plan.json"
        plan.touch(mode=0o600)
        plan.write_bytes(msgspec.json.encode(self._models.plan))
        with ExitStack() as ours:
            folder = os.open(self._folder, os.O_PATH)
            ours.callback(os.close, folder)
            with ExitStack() as theirs:
                errors, errors_end = new_pipe(ours, theirs)
                self._errors = ours.enter_context(closing(Tail(errors)))
                self._process = await self._launch(errors_end)
            try:
                # By its folder's descriptor, for the name of a socket must be short.
                transport = httpx2.AsyncHTTPTransport(uds=f"/proc/self/fd/{folder}/{_NAME}")
                headers = {"Authorization": f"Bearer {self._models.plan.control_token}"}
                client = httpx2.AsyncClient(base_url="http://gateway", headers=headers, transport=transport)
                async with client as self._control:
                    yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self._stop()

    async def lines(self) -> AsyncGenerator[bytes]:
        """What it prints, to its end; from the first line on it can be asked.

        Raises:
            EngineError: it ended, though nobody told it to.

        """
        assert self._process.stdout is not None
        splitter, is_shut = LineSplitter(), True
        async for chunk in self._process.stdout:
            for line in splitter.feed(chunk):
                if is_shut:  # for whoever is shown it; what lets in is a token
                    (self._folder / _NAME).chmod(0o666)
                    is_shut = False
                yield line
        if not self.was_told_to_end:
            said = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise EngineError("gateway.failed", f"the gateway ended, though the run had not: {said}".rstrip(": "))

    def access(self, index: int) -> dict[str, str]:
        """What a harness is told of it; nothing for a variation that asks no model."""
        if index not in self._tokens:
            return {}
        return {"AIDEATOR_GATEWAY": f"unix://{SOCKET}", "AIDEATOR_TOKEN": self._tokens[index]}

    async def ledger(self) -> list[bytes]:
        try:
            return (await self._control.get("/control/ledger")).raise_for_status().content.splitlines()
        except httpx2.HTTPError as error:
            raise EngineError("gateway.failed", f"its ledger cannot be read: {error}") from error

    async def retire(self, index: int) -> None:
        """Have the token of a variation be good for nothing more; where it cannot be told, nothing happens."""
        with suppress(httpx2.HTTPError):
            await self._control.post(f"/control/retire/{index}")

    def end(self) -> None:
        """Let it come to its end, and `lines` with it."""
        self.was_told_to_end = True
        send_signal(self._process, Signals.SIGTERM)

    async def _launch(self, errors: int) -> Process:
        program = [sys.executable, "-P", "-m", "agent_image.gateway", "--plan=plan.json", f"--unix={_NAME}"]
        return await anyio.open_process(
            [*program, "--with-parent"],
            cwd=self._folder,
            env={**outward(os.environ), "PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **self._models.keys},
            stdin=subprocess.DEVNULL,
            stderr=errors,
        )

    async def _stop(self) -> None:
        send_signal(self._process, Signals.SIGTERM)
        with anyio.move_on_after(_END_S):
            await self._process.wait()
        await self._process.aclose()
