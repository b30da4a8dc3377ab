"""A process in a sandbox: what it is given, what the kernel refuses it, and that nothing of it is ever left."""

from functools import partial
from pathlib import Path
from uuid import uuid4

import anyio
import pytest
from msgspec import structs

from service.engine.local.confine import confined, run_confined
from service.engine.local.confinement import Bind, Confinement
from service.engine.local.host import Host
from service.engine.local.probe import find_host
from service.errors import EngineError
from tests.processes import processes_that_say

LIMIT_S = 60.0

ASK_THE_KERNEL = """
import ctypes, socket
libc = ctypes.CDLL(None, use_errno=True)
keyctl = {"x86_64": 250, "aarch64": 219}[__import__("os").uname().machine]
print(libc.syscall(keyctl, 0, -3, 0))
for family in (socket.AF_VSOCK, socket.AF_ALG):
    try:
        socket.socket(family, socket.SOCK_SEQPACKET)
        print("opened")
    except OSError:
        print("refused")
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname())
print("connected")
"""
READ_THE_FIRST_PROCESS = """
import os
for name in os.listdir("/proc/1/fd"):
    try:
        with open(f"/proc/1/fd/{name}", "rb") as file:
            os.set_blocking(file.fileno(), False)
            assert b"told" not in (file.read() or b""), name
    except OSError:
        pass
print(open(0).read())
"""


@pytest.fixture
async def host(tmp_path: Path) -> Host:
    return await find_host(tmp_path / "home")


@pytest.mark.parametrize("after_s", [0.0, 0.002, 0.005, 0.01, 0.02, 0.1])
async def test_one_that_is_asked_to_end_ends_however_young_it_is(host: Host, after_s: float):
    with anyio.fail_after(LIMIT_S):
        async with confined(host, ["sh", "-c", "exec sleep 1000"], Confinement()) as process:
            await anyio.sleep(after_s)
            await process.ask_to_end()
            assert await process.wait() == 143


async def test_what_it_reads_reaches_it_and_nobody_else(host: Host):
    done = await run_confined(
        host, ["python3", "-c", READ_THE_FIRST_PROCESS], Confinement(stdin=b"told"), limit_s=LIMIT_S
    )
    assert (done.status, done.stdout) == (0, b"told\n"), done.stderr


async def test_the_kernel_s_keys_and_sockets_out_of_the_namespace_are_refused(host: Host):
    done = await run_confined(host, ["python3", "-c", ASK_THE_KERNEL], Confinement(), limit_s=LIMIT_S)
    assert done.stdout.split() == [b"-1", b"refused", b"refused", b"connected"], done.stderr


async def test_what_cannot_be_started_is_said(host: Host):
    with pytest.raises(EngineError, match="No such file or directory: /nowhere"):
        await run_confined(host, ["true"], Confinement(binds=(Bind(Path("/nowhere"), "/x"),)), limit_s=LIMIT_S)


@pytest.mark.parametrize("grouped", [True, False], ids=["in control groups", "without"])
async def test_whoever_is_cancelled_at_any_moment_leaves_nothing(host: Host, grouped: bool):
    if not grouped:
        host = structs.replace(host, cgroups=None)
    mark = uuid4().hex
    command = ["sh", "-c", f"setsid sh -c 'sleep 1000; : {mark} of a daemon' & sleep 1000; : {mark}"]
    before = open_descriptors()
    for moment in range(40):
        with anyio.move_on_after(moment * 0.002):
            await run_confined(host, command, Confinement(), limit_s=LIMIT_S)
        assert processes_that_say(mark) == []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(run_confined, host, command, Confinement(), limit_s=LIMIT_S))
        await until_said(f"-c\0sleep 1000; : {mark} of a daemon")
        tasks.cancel_scope.cancel()
    assert processes_that_say(mark) == []
    assert open_descriptors() == before


async def until_said(mark: str) -> None:
    """Wait until a process has this in its command line: what finds nothing must be able to find something."""
    with anyio.fail_after(LIMIT_S):
        while not processes_that_say(mark):  # noqa: ASYNC110 -- a process in a sandbox has no event
            await anyio.sleep(0.01)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
