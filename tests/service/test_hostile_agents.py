"""Agents that look for a way out of the local engine's sandboxes, or for others: they find neither."""

import os
import re
from contextlib import aclosing
from pathlib import Path
from shutil import which
from uuid import uuid4

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from agent_image.events import Output, decode_line
from service.engine import Line, SandboxSpec
from service.engine.local.engine import LocalEngine, LocalOptions
from tests.contract.sandboxes import by_command, prepared, ran, spec, vary, vary_all
from tests.git_repositories import GitRepositories
from tests.service.beside import beside_a_sibling, python

pytestmark = pytest.mark.skipif(which("bwrap") is None, reason="there is no bubblewrap")


@pytest.fixture
def engine(tmp_path: Path) -> LocalEngine:
    return LocalEngine(LocalOptions(home=tmp_path / "local"))


@pytest.fixture
def asked(git: GitRepositories) -> SandboxSpec:
    return spec(git.make("repo"))


ITS_OWN = {"/workspace", "/home/agent", "/tmp", "/dev/shm"}
DEVICES = {f"/dev/{name}" for name in ("full", "null", "ptmx", "pts", "random", "tty", "urandom", "zero")}
NAMESPACE = ("/proc/pressure/", "/proc/sys/kernel/msg", "/proc/sys/kernel/shm", "/proc/sys/kernel/sem",
             "/proc/sys/kernel/auto_msgmni", "/proc/sys/kernel/pid_max", "/proc/sys/kernel/ns_last_pid",
             "/proc/sys/fs/mqueue/")  # fmt: skip
"""What it may set is that of its own namespace, or of nobody."""


async def test_it_can_write_to_nothing_but_its_own(engine: LocalEngine, git: GitRepositories):
    places = "find / -maxdepth 4 -path /proc -prune -o -writable ! -type l -print -prune"
    kernel = "find /proc/[a-z]* -path '/proc/*self' -prune -o -type f -writable -print"
    outside = Path("/tmp", f"owned-{uuid4().hex}")
    ended = await ran(engine, git, f"({places}; {kernel}) 2>/dev/null; echo mine > {outside}; echo x > /usr/owned; :")
    found = {path for path in ended.printed().decode().split() if not path.startswith(NAMESPACE)}
    assert found - DEVICES == ITS_OWN
    assert not await anyio.Path(outside).exists()


LOOK = r"""
for pid in /proc/[0-9]*; do echo "$pid: $(tr '\0' ' ' < $pid/environ) $(tr '\0' ' ' < $pid/cmdline)"; done 2>/dev/null
id; cat /etc/passwd
"""


async def test_it_sees_none_of_this_machine_s_processes(engine: LocalEngine, git: GitRepositories):
    assert "PYTEST_CURRENT_TEST" in os.environ
    said = (await ran(engine, git, LOOK)).printed().decode()
    assert "/proc/1: " in said
    assert len(re.findall("^/proc/", said, re.MULTILINE)) < 8
    for ours in ("PYTEST_CURRENT_TEST", "pytest", "postgres", "uid=0"):
        assert ours not in said


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of this machine's that every user may read."""
    file = tmp_path / "secret"
    file.write_text("a secret")
    return file


async def test_it_reads_nothing_of_this_machine_s(
    engine: LocalEngine, git: GitRepositories, asked: SandboxSpec, secret: Path, tmp_path: Path
):
    async with prepared(engine, spec(git.make("another"))):
        objects = next((tmp_path / "local").rglob("*.pack"), None) or next((tmp_path / "local").rglob("objects/*/*"))
    places = [secret, objects, tmp_path / "local", "/proc/1/root/root", "/etc/shadow", "/etc/ssh", "/etc/hostname"]
    places += ["/root", Path.home() / ".ssh", "/var/lib", "/var/log", "/run/docker.sock", "/var/run", "/mnt", "/sys/fs"]
    tries = [f"(test -e {place} && cat {place} {place}/*) 2>/dev/null" for place in places]
    tries += [f"ln -s {secret} link{depth}; cat link{depth} 2>/dev/null" for depth in range(2)]
    tries += [f"cat ../../../../../../{secret} 2>/dev/null", "ls /dev/sd* /dev/vd* /dev/mem /dev/kmsg 2>/dev/null"]
    async with prepared(engine, asked) as sandbox:
        ended = await vary(sandbox, 0, by_command("\n".join([*tries, ":"])))
        assert (ended.exit, ended.printed()) == (0, b"")
        assert b"a secret" not in await sandbox.patch(0)


async def test_it_sees_nothing_of_another_variation(engine: LocalEngine, asked: SandboxSpec):
    hide = "for place in /workspace /home/agent /tmp /dev/shm; do echo mine > $place/hidden; done; sleep 2"
    seek = "sleep 1; find / -name hidden 2>/dev/null; ls /workspace/.. | tr '\\n' ' '; pgrep -f hidden; :"
    async with prepared(engine, asked) as sandbox:
        ended = await vary_all(sandbox, {0: by_command(hide), 1: by_command(seek)})
    assert ended[0].exit == 0
    assert b"hidden" not in ended[1].printed()


ESCAPES = r"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, result):
    print(name, "done" if result >= 0 else "refused", flush=True)
parent = int(os.environ["PARENT"])
libc.ptrace.argtypes = [ctypes.c_long] * 4
attempt("trace", libc.ptrace(0x4206, parent, 0, 0))
for name, flag in {"user": 0x10000000, "mount": 0x20000, "net": 0x40000000, "pid": 0x20000000}.items():
    attempt(f"unshare-{name}", libc.unshare(flag))
attempt("mount", libc.mount(b"none", b"/workspace", b"tmpfs", 0, None))
attempt("remount", libc.mount(b"none", b"/usr", None, 0x20 | 0x1000, None))
attempt("unmount", libc.umount2(b"/usr", 2))
attempt("chroot", libc.chroot(b"/tmp"))
attempt("setuid", libc.setuid(0))
attempt("node", libc.mknod(b"/tmp/node", 0o60666, 0x0801))
attempt("hostname", libc.sethostname(b"mine", 4))
for name in ("environ", "mem", "fd/1", "root/etc"):
    try:
        os.close(os.open(f"/proc/{parent}/{name}", os.O_RDONLY if name != "fd/1" else os.O_WRONLY))
        print(name, "done")
    except OSError:
        print(name, "refused")
"""


async def test_the_kernel_refuses_it_what_would_lead_out(engine: LocalEngine, git: GitRepositories):
    said = (await ran(engine, git, f"export PARENT=$PPID\n{python(ESCAPES)}")).printed().decode()
    came_of = dict(line.split() for line in said.splitlines())
    assert len(came_of) == 16
    assert {name for name, what in came_of.items() if what != "refused"} == set()


FORGE = r"""
import ctypes, os
event = b'{"n":1000,"at":1.5,"kind":"output","stream":"stdout","text":"forged"}\\n'
syscall, pidfd_open, pidfd_getfd = ctypes.CDLL(None).syscall, 434, 438
for pid in (1, int(os.environ["PARENT"])):
    for fd in range(20):
        stolen = syscall(pidfd_getfd, syscall(pidfd_open, pid, 0), fd, 0)
        for get in (lambda: stolen, lambda: os.open(f"/proc/{pid}/fd/{fd}", os.O_WRONLY)):
            try:
                os.write(get(), event)
            except OSError:
                pass
"""


async def test_it_cannot_speak_in_the_harness_s_name(engine: LocalEngine, git: GitRepositories):
    """Neither by what the harness has open, nor by what the sandbox's first process has."""
    ended = await ran(engine, git, f"export PARENT=$PPID\n{python(FORGE)}")
    assert (ended.exit, ended.printed()) == (0, b"")
    assert len(ended.events) == 2


async def test_signals_stay_within(engine: LocalEngine, asked: SandboxSpec):
    ended = await beside_a_sibling(engine, asked, "kill -9 1; kill -TERM 1; kill -9 -1; sleep 1000")
    assert ended.exit == 137


# It looks for others

LISTEN = """
import socket, time
with socket.create_server(("0.0.0.0", 0)) as server:
    print(server.getsockname()[1], flush=True)
    time.sleep(1000)
"""
CONNECT = """
import socket, sys
try:
    socket.create_connection(("127.0.0.1", {port}), 5)
    print("connected")
except OSError as error:
    print(type(error).__name__)
"""


async def test_nobody_reaches_a_port_that_it_listens_on(engine: LocalEngine, asked: SandboxSpec):
    async with prepared(engine, asked) as sandbox, aclosing(sandbox.vary(0, by_command(python(LISTEN)))) as items:
        async for item in items:
            assert isinstance(item, Line)
            if isinstance(event := decode_line(item.data), Output):
                break
        else:
            raise AssertionError("it ended")
        port = int(event.text)
        with pytest.raises(OSError, match="failed"):
            await anyio.connect_tcp("127.0.0.1", port)
        ended = await vary(sandbox, 1, by_command(python(CONNECT.format(port=port))))
        assert ended.printed() == b"ConnectionRefusedError\n"


async def test_it_reaches_no_server_of_this_machine_s_which_setup_commands_do(
    engine: LocalEngine, git: GitRepositories
):
    connections = 0

    async def count(stream: SocketStream) -> None:
        nonlocal connections
        async with stream:
            connections += 1

    async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener:
        connect = python(CONNECT.format(port=listener.extra(SocketAttribute.local_port)))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, count)
            async with prepared(engine, spec(git.make("repo"), setup=[f"({connect}\n) > reached"])) as sandbox:
                ended = await vary(sandbox, 0, by_command(f"cat reached\n{connect}"))
            assert ended.printed() == b"connected\nConnectionRefusedError\n"
            tasks.cancel_scope.cancel()
    assert connections == 1
