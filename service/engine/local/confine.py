"""A process in a sandbox of this machine, and its certain end.

bubblewrap gives it namespaces of its own (process ids, mounts, IPC, host name, user, and network unless that is let
in), a system that it cannot write, and no capability. When the sandbox's first process dies, the kernel kills all of
the others; its pidfd is readable once that is done.
"""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractContextManager, ExitStack, aclosing, asynccontextmanager, closing, suppress
from pathlib import Path
from signal import Signals, pidfd_send_signal
from uuid import uuid4

import anyio
import msgspec
from anyio.abc import Process
from msgspec import Struct

from service.engine.local import launch
from service.engine.local.cgroup import Cgroups, Group, GroupLimits
from service.engine.local.confinement import Confinement, Plan, plan_of
from service.engine.local.host import Host
from service.engine.local.pipe import Tail, chunks_of, new_pipe
from service.engine.signals import send_signal
from service.errors import EngineError

KILLED = 128
"""A process that signal N killed has the exit status `KILLED` + N; others have less."""

_PYTHON = Path(sys.executable).resolve()
_START_S = 30.0
_GONE_S = 10.0
_LOOK_S = 0.01


class Done(Struct, frozen=True):
    status: int
    stdout: bytes
    stderr: bytes


class Confined:
    """A process in its sandbox."""

    def __init__(self, output: int, errors: Tail, group: Group | None) -> None:
        self._output = output
        self._errors = errors
        self._group = group
        self._process: Process
        self.first = 0
        """The number of the sandbox's first process; 0 until there is one."""
        self._life: int | None = None
        """A descriptor of the sandbox's first process."""

    def chunks(self) -> AsyncGenerator[bytes]:
        """What it prints, as it comes, to the end."""
        return chunks_of(self._output)

    async def wait(self) -> int:
        """Its exit status, `KILLED` + N if signal N killed it."""
        status = await self._process.wait()
        return status if status >= 0 else KILLED - status

    async def ask_to_end(self) -> None:
        """Send SIGTERM to the command, and to none of what it started; where there is none yet, once there is."""
        while self._is_alive():
            command = self._command()
            if command and self._is_alive():  # then it is that of our first process, not of one that has its number now
                with suppress(ProcessLookupError):
                    os.kill(command, Signals.SIGTERM)
                return
            await anyio.sleep(_LOOK_S)

    def _command(self) -> int | None:
        """The first process's only child: what it starts adopts its own orphans."""
        with suppress(OSError, IndexError):
            children = Path(f"/proc/{self.first}/task/{self.first}/children").read_text(encoding="ascii")
            return int(children.split()[0])
        return None

    def _is_alive(self) -> bool:
        with suppress(ProcessLookupError):
            if self._life is not None:
                pidfd_send_signal(self._life, 0)
                return True
        return False

    def kill(self) -> None:
        send_signal(self._process, Signals.SIGKILL)

    @property
    def errors(self) -> bytes:
        """The last of what it wrote to stderr."""
        return self._errors.read()

    @property
    def ran_out_of_memory(self) -> bool:
        """Whether the kernel killed any of its processes for the memory that they took together."""
        return self._group is not None and self._group.oom_kills() > 0

    async def launch(self, plan: Plan, output: int, errors: int, info: int) -> None:
        """Start the launcher, and tell it what to do."""
        launcher = [str(_PYTHON), "-I", "-S", launch.__file__]
        self._process = process = await anyio.open_process(
            launcher,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
            pass_fds=[info],
            env={},
            cwd="/",
            start_new_session=True,
        )
        assert process.stdin is not None
        with suppress(anyio.BrokenResourceError):  # it is dead, and its stderr says why
            await process.stdin.send(msgspec.json.encode(plan))
            await process.stdin.aclose()

    async def come_alive(self, info: int) -> None:
        """Wait for the sandbox's first process, whose number bubblewrap tells. `EngineError` where there is none."""
        said = b""
        with anyio.move_on_after(_START_S):
            said = await _said(info)
        if not said.rstrip().endswith(b"}"):
            self.kill()
            await self._process.wait()
            why = (self.errors + said).decode(errors="replace").strip() or f"none within {_START_S:.0f} s"
            raise EngineError("engine.failed", f"no sandbox: {why}")
        with suppress(ProcessLookupError):  # it has ended already
            self.first = msgspec.json.decode(said, type=dict[str, int])["child-pid"]
            self._life = os.pidfd_open(self.first)

    async def end(self) -> None:
        """Kill it, and wait until the kernel has ended what was with it."""
        try:
            if self._life is not None:
                life, self._life = self._life, None
                await _kill_first(life)
        finally:
            self.kill()
            await self._process.aclose()


@asynccontextmanager
async def confined(host: Host, command: Sequence[str], what: Confinement) -> AsyncGenerator[Confined]:
    """Run `command` in a sandbox; leaving the block kills it, and returns when nothing of it is left.

    Raises:
        EngineError: it cannot be started.

    """
    with ExitStack() as ours:
        group = ours.enter_context(_group(host.cgroups, what)) if host.cgroups else None
        with ExitStack() as theirs:
            output, output_end = new_pipe(ours, theirs)
            errors, errors_end = new_pipe(ours, theirs)
            info, info_end = new_pipe(ours, theirs)
            process = Confined(output, ours.enter_context(closing(Tail(errors))), group)
            # Shielded: one that is killed before it is whole would leave its first process to nobody.
            with anyio.CancelScope(shield=True):
                await process.launch(plan_of(host, command, what, group, info_end), output_end, errors_end, info_end)
        try:
            with anyio.CancelScope(shield=True):
                await process.come_alive(info)
            yield process
        finally:
            with anyio.CancelScope(shield=True):
                await process.end()


async def _kill_first(life: int) -> None:
    """Kill a sandbox's first process, whose descriptor this is, and wait until it and all others are gone."""
    try:
        with suppress(ProcessLookupError):
            pidfd_send_signal(life, Signals.SIGKILL)
        with anyio.fail_after(_GONE_S):
            await anyio.wait_readable(life)
    finally:
        os.close(life)


async def run_confined(host: Host, command: Sequence[str], what: Confinement, *, limit_s: float) -> Done:
    """Run `command` in a sandbox to its end, which has to come within `limit_s`.

    Raises:
        TimeoutError: it did not.
        EngineError: it cannot be started.

    """
    with anyio.fail_after(limit_s):
        async with confined(host, command, what) as process:
            stdout = b"".join([chunk async for chunk in process.chunks()])
            return Done(await process.wait(), stdout, process.errors)


def _group(cgroups: Cgroups, what: Confinement) -> AbstractContextManager[Group]:
    limits = GroupLimits(what.limits.memory_bytes, what.limits.processes, what.limits.cpus)
    return cgroups.group(f"{what.name}.{uuid4().hex[:8]}", limits)


async def _said(info: int) -> bytes:
    """What bubblewrap tells of the sandbox's first process, as JSON, or what was wrong."""
    said = b""
    async with aclosing(chunks_of(info)) as chunks:
        async for chunk in chunks:
            said += chunk
            if said.rstrip().endswith(b"}"):
                break
    return said
