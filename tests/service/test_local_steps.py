"""What comes of a setup, a variation or a patch on this machine when something is not as it should be."""

import os
import platform
from collections.abc import Generator
from contextlib import aclosing, suppress
from pathlib import Path
from shutil import which

import anyio
import pytest
from msgspec import structs

from agent_image.events import Output, decode_line
from service.engine import Ended, Line
from service.engine.local.confinement import Limits
from service.engine.local.engine import LocalEngine, LocalOptions
from service.engine.local.harness import LocalHarness, Step
from service.engine.local.probe import find_host
from service.engine.local.programs import Programs
from service.engine.local.trees import derive
from service.errors import EngineError, PatchError
from tests.contract.sandboxes import by_command, fail, prepare, prepared, spec, vary, vary_all
from tests.disks import or_skip, plain_disk
from tests.git_repositories import GitRepositories
from tests.service.beside import MIB, python

pytestmark = pytest.mark.skipif(which("bwrap") is None, reason="there is no bubblewrap")

SUCCEED = r"""
import ctypes
class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulong) for name in (
        "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs gs ds es f g"
    ).split()]
libc, registers = ctypes.CDLL(None), Registers()
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace(16, 1, None, None)
libc.waitpid(1, None, 0x40000000)
libc.ptrace(12, 1, None, ctypes.byref(registers))
registers.rip, registers.rax, registers.orig_rax, registers.rdi = registers.rip - 2, 231, 2**64 - 1, 0
libc.ptrace(13, 1, None, ctypes.byref(registers))
libc.ptrace(17, 1, None, None)
"""
"""Has the sandbox's first process exit with status 0."""

GREEDY = "x = b'x' * (1 << 30)"


@pytest.fixture
def engine(tmp_path: Path) -> LocalEngine:
    return LocalEngine(LocalOptions(home=tmp_path / "local", memory_bytes=256 * MIB, disk_bytes=64 * MIB))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="it knows the registers of x86_64")
async def test_a_setup_that_only_seems_to_succeed_has_failed(engine: LocalEngine, git: GitRepositories):
    asked = spec(git.make("repo"), setup=[f"{python(SUCCEED)}\nsleep 5; exit 9"])
    for _ in range(2):
        assert (await fail(engine, asked)).code == "setup.failed"


async def test_a_setup_is_done_again_once_the_tools_are_others(git: GitRepositories, tmp_path: Path):
    tools = tmp_path / "tools"
    (tools / "bin").mkdir(parents=True)
    asked = spec(git.make("repo"), setup=["echo done"])

    async def is_done() -> bool:
        engine = LocalEngine(LocalOptions(home=tmp_path / "local", tools=(tools,)))
        async with engine.open(asked) as sandbox:
            events, _ = await prepare(sandbox)
            return events != []

    assert [await is_done(), await is_done()] == [True, False]
    os.utime(tools / "bin", (1, 1))
    assert [await is_done(), await is_done()] == [True, False]


async def test_a_setup_that_took_too_much_memory_says_so(engine: LocalEngine, git: GitRepositories):
    await skip_without_groups(engine)
    error = await fail(engine, spec(git.make("repo"), setup=[python(GREEDY)]))
    assert (error.code, "LOCAL_MEMORY" in str(error)) == ("setup.failed", True)


async def test_a_variation_that_took_too_much_memory_says_so(engine: LocalEngine, git: GitRepositories):
    await skip_without_groups(engine)
    async with prepared(engine, spec(git.make("repo"))) as sandbox:
        async with aclosing(sandbox.vary(0, by_command(f"touch made\n{python(GREEDY)}"))) as items:
            (ended,) = [item async for item in items if isinstance(item, Ended)]
        assert (ended.exit, ended.code, "LOCAL_MEMORY" in ended.detail) == (3, "agent.memory", True)
        assert b"made" in await sandbox.patch(0)


async def skip_without_groups(engine: LocalEngine) -> None:
    if "cgroups" not in (await engine.health()).detail:
        pytest.skip("without control groups, nobody knows")


DEEP = "i=0; while [ $i -lt 300 ]; do mkdir d && cd d && i=$((i + 1)); done"


@pytest.mark.parametrize(
    "command", [DEEP, "for i in 1 2 3; do head -c 30000000 /dev/zero > $i; done"], ids=["deep", "large"]
)
async def test_a_tree_that_came_to_be_too_much_at_the_last_moment(
    engine: LocalEngine, git: GitRepositories, command: str
):
    async with prepared(engine, spec(git.make("repo"))) as sandbox:
        with pytest.raises(EngineError) as caught:
            await vary(sandbox, 0, by_command(command))
    assert caught.value.code == "agent.disk"


async def test_a_setup_that_fills_its_cache_is_ended(engine: LocalEngine, git: GitRepositories):
    fill = "cd $XDG_CACHE_HOME; for i in 1 2 3; do head -c 30000000 /dev/zero > $i; done; sleep 1000"
    with pytest.raises(EngineError) as caught:
        async with prepared(engine, spec(git.make("repo"), setup=[fill])):
            pass
    assert caught.value.code == "agent.disk"


async def test_tools_that_cannot_be_shown_are_named_before_anything_starts(tmp_path: Path):
    gone = tmp_path / "gone"
    for named in (gone, Path("/"), tmp_path):
        health = await LocalEngine(LocalOptions(home=tmp_path / "home", tools=(named,))).health()
        assert not health.ok
        assert f"LOCAL_TOOLS names {named}, which is" in health.detail


def test_on_the_service_s_loop_an_agent_works_and_one_that_takes_too_long_to_install_is_unavailable(
    engine: LocalEngine, git: GitRepositories
):
    task = structs.replace(by_command(""), agent="claude-code", model="claude-x")

    async def work() -> str:
        async with prepared(engine, spec(git.make("repo"), setup_timeout_s=0.05)) as sandbox:
            assert (await vary(sandbox, 0, by_command("echo made > made"))).exit == 0
            assert b"+made" in await sandbox.patch(0)
            with pytest.raises(EngineError, match="was not installed within 0") as caught:
                await vary(sandbox, 1, task)
        return caught.value.code

    assert anyio.run(work, backend_options={"use_uvloop": True}) == "agent.unavailable"


@pytest.fixture
def shut_umask() -> Generator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("shut_umask")
async def test_a_umask_that_shuts_others_out_shuts_no_sandbox_out(tmp_path: Path, git: GitRepositories):
    engine = LocalEngine(LocalOptions(home=tmp_path / "local"))
    async with prepared(engine, spec(git.make("repo"), setup=["echo set up > ~/up"])) as sandbox:
        assert (await vary(sandbox, 0, by_command("git log && cat ~/up > made"))).exit == 0
        assert b"+set up" in await sandbox.patch(0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """One with room for few files."""
    with or_skip(plain_disk(tmp_path / "disk", 1024, files=2000)) as disk:
        yield disk


def fill(disk: Path) -> None:
    with suppress(OSError):
        for number in range(2000):
            (disk / str(number)).touch()


async def test_a_disk_that_is_full_is_told_as_such(small_disk: Path, git: GitRepositories):
    engine = LocalEngine(LocalOptions(home=small_disk / "local"))
    async with prepared(engine, spec(git.make("repo"))) as sandbox:
        assert (await vary(sandbox, 0, by_command("touch made"))).exit == 0
        fill(small_disk)
        with pytest.raises(EngineError) as caught:
            await vary(sandbox, 1, by_command("true"))
        assert caught.value.code == "engine.disk_full"
        with pytest.raises(PatchError, match="no space is left") as not_made:
            await sandbox.patch(0)
        assert not_made.value.code == "engine.disk_full"
    fill(small_disk)
    with pytest.raises(EngineError) as caught:
        async with prepared(engine, spec(git.make("another"))):
            pass
    assert caught.value.code == "engine.disk_full"


async def test_a_patch_can_be_asked_for_again_whether_it_was_made_or_not(engine: LocalEngine, git: GitRepositories):
    made = by_command("echo made > made")
    unmade = by_command("echo made > made; echo 'made working-tree-encoding=UTF-16' > .gitattributes")
    async with prepared(engine, spec(git.make("repo"))) as sandbox:
        ended = await vary_all(sandbox, {0: made, 1: unmade})
        assert [ended[index].exit for index in (0, 1)] == [0, 0]
        for _ in range(2):
            assert b"+made" in await sandbox.patch(0)
            with pytest.raises(PatchError, match="UTF-16"):
                await sandbox.patch(1)


async def test_who_has_the_network_has_the_operators_way_out(tmp_path: Path):
    certificates = tmp_path / "certificates"
    certificates.write_text("whom to trust")
    environ = {"https_proxy": "http://user:word@proxy.example:1", "REQUESTS_CA_BUNDLE": str(certificates)}
    look = 'echo "$https_proxy"; cat "$SSL_CERT_FILE" "$NODE_EXTRA_CA_CERTS"'
    asked = await said(tmp_path / "with", environ, look, network=True)
    assert asked == "http://user:word@proxy.example:1\nwhom to trustwhom to trust"
    assert await said(tmp_path / "without", environ, "env | grep -i -e proxy -e cert; :", network=False) == ""


async def said(folder: Path, environ: dict[str, str], command: str, *, network: bool) -> str:
    """What a setup command prints on a machine whose operator has set these variables."""
    host = await find_host(folder)
    for name in ("workspace", "home"):
        host.make(folder / "tree" / name)
    step = Step(
        name="step",
        producer="setup",
        arguments=["--timeout=30", f"--setup={command}"],
        tree=await derive(host, [folder / "tree"], folder / "derived"),
        printed=folder / "printed",
        environ={},
        binds=(),
        network=network,
        limit_s=30,
    )
    lines: list[Line | Ended] = []
    async with anyio.create_task_group() as tasks:
        harness = LocalHarness(
            host, Programs(folder / "agents", ()), Limits(disk_bytes=64 * MIB), tasks, environ=environ
        )
        async with aclosing(harness.run(step)) as items:
            lines += [item async for item in items]
        tasks.cancel_scope.cancel()
    assert lines.pop() == Ended(0)
    events = [decode_line(line.data) for line in lines if isinstance(line, Line)]
    return "".join(event.text for event in events if isinstance(event, Output))
