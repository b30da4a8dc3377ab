"""A process in a sandbox of this machine, and its certain end.

bubblewrap gives it namespaces of its own (process ids, mounts, IPC, host name, user, and network unless that is let
in), a system that it cannot write, and no capability. When the sandbox's first process dies, the kernel kills all of
the others; its pidfd is readable once that is done.
"""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, closing, suppress
from pathlib import Path
from uuid import uuid4

import anyio
import msgspec
from anyio.abc import Process
from msgspec import Struct

from service.engine import local_launch
from service.engine.local_cgroup import Cgroups, Group, GroupLimits
from service.engine.local_confinement import Confinement, Plan, plan_of
from service.engine.local_host import Host
from service.engine.local_tail import Tail
from service.errors import EngineError

_PYTHON = Path(sys.executable).resolve()
_GONE_S = 10.0
_SIGNALLED = 128


class Done(Struct, frozen=True):
    status: int
    stdout: bytes
    stderr: bytes


class Confined:
    """A process in its sandbox."""

    def __init__(self, process: Process, errors: Tail, group: Group | None) -> None:
        self._process = process
        self._errors = errors
        self._group = group

    async def chunks(self) -> AsyncGenerator[bytes]:
        """What it prints, as it comes, to the end."""
        assert self._process.stdout is not None
        async for chunk in self._process.stdout:
            yield chunk

    async def wait(self) -> int:
        """Its exit status, 128 + N if signal N killed it."""
        status = await self._process.wait()
        return status if status >= 0 else _SIGNALLED - status

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    @property
    def errors(self) -> bytes:
        """The last of what it wrote to stderr."""
        return self._errors.read()

    @property
    def ran_out_of_memory(self) -> bool:
        """Whether the kernel killed any of its processes for the memory that they took together."""
        return self._group is not None and self._group.oom_kills() > 0


@asynccontextmanager
async def confined(host: Host, command: Sequence[str], what: Confinement) -> AsyncGenerator[Confined]:
    """Run `command` in a sandbox; leaving the block kills it, and returns when nothing of it is left.

    Raises:
        EngineError: it cannot be started.

    """
    with ExitStack() as stack:
        group = stack.enter_context(_group(host.cgroups, what)) if host.cgroups else None
        status, status_end = os.pipe()
        stack.callback(os.close, status)
        errors, errors_end = os.pipe()
        tail = stack.enter_context(closing(Tail(errors)))
        try:
            process = await _launch(plan_of(host, command, what, group, status_end), status_end, errors_end)
        finally:
            os.close(status_end)
            os.close(errors_end)
        first: int | None = None
        try:
            said = await _said(status)
            if not said.rstrip().endswith(b"}"):
                await process.wait()
                raise EngineError(
                    "engine.failed", f"no sandbox: {(tail.read() + said).decode(errors='replace').strip()}"
                )
            first = msgspec.json.decode(said, type=dict[str, int])["child-pid"]
            yield Confined(process, tail, group)
        finally:
            with anyio.CancelScope(shield=True):
                await _end(process, first)


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
    # Who made it stands in front: what is left of a process that was killed can be told by that.
    name = f"{os.getpid()}.{what.name}.{uuid4().hex[:8]}"
    limits = what.limits
    return cgroups.group(name, GroupLimits(limits.memory_bytes, limits.processes, limits.cpus))


async def _launch(plan: Plan, status: int, errors: int) -> Process:
    launcher = [str(_PYTHON), "-I", "-S", local_launch.__file__]
    process = await anyio.open_process(
        launcher, stdin=subprocess.PIPE, stderr=errors, pass_fds=[status], env={}, cwd="/", start_new_session=True
    )
    assert process.stdin is not None
    try:
        with suppress(anyio.BrokenResourceError):  # it is dead, and its stderr says why
            await process.stdin.send(msgspec.json.encode(plan))
        await process.stdin.aclose()
    except BaseException:
        with anyio.CancelScope(shield=True):
            await _end(process, None)
        raise
    return process


async def _said(status: int) -> bytes:
    """What bubblewrap tells of the sandbox's first process, as JSON, or what was wrong."""
    os.set_blocking(status, False)
    said = b""
    while not said.rstrip().endswith(b"}"):
        await anyio.wait_readable(status)
        if not (chunk := os.read(status, 4096)):
            break
        said += chunk
    return said


async def _end(process: Process, first: int | None) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    if first is not None:
        with suppress(ProcessLookupError):
            await _kill(first)
    await process.aclose()


async def _kill(first: int) -> None:
    """Kill a sandbox's first process, and wait until the kernel has ended what was with it."""
    life = os.pidfd_open(first)
    try:
        signal.pidfd_send_signal(life, signal.SIGKILL)
        with anyio.fail_after(_GONE_S):
            await anyio.wait_readable(life)
    finally:
        os.close(life)
