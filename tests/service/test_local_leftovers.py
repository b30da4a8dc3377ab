"""What killed runs and hostile agents have left is removed, and neither it nor its removal can do any harm."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from shutil import which

import anyio
import pytest

from service.engine.local.engine import LocalEngine, LocalOptions
from service.engine.local.leftovers import note_use, run_folder, sweep
from service.engine.local.orphans import end_orphans
from service.engine.local.probe import find_host
from service.errors import EngineError
from tests.conftest import ROOT
from tests.contract.sandboxes import by_command, prepared, spec, vary
from tests.git_repositories import GitRepositories

needs_bwrap = pytest.mark.skipif(which("bwrap") is None, reason="there is no bubblewrap")
DISK_BYTES = 10 << 20
DAY_S = 86_400


def deep(folder: Path, levels: int) -> None:
    script = f"i=0; while [ $i -lt {levels} ]; do mkdir d && cd -P d; i=$((i+1)); done; touch file"
    subprocess.run(["sh", "-c", script], cwd=folder, check=True)


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY_S
    os.utime(path, (then, then), follow_symlinks=False)


# Sweeping


async def test_a_run_whose_process_was_killed_is_swept_and_one_that_lives_is_not(tmp_path: Path):
    host = await find_host(tmp_path)
    hold = (
        "import anyio, sys; from pathlib import Path; from service.engine.local.leftovers import run_folder\n"
        "async def main():\n"
        "    async with run_folder(Path(sys.argv[1]), 'killed') as folder:\n"
        "        print(folder, flush=True); await anyio.sleep_forever()\n"
        "anyio.run(main)"
    )
    command = [sys.executable, "-c", hold, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as holder:  # noqa: ASYNC220
        assert holder.stdout is not None
        left = Path(holder.stdout.readline().decode().strip())
        deep(left, 1500)
        sweep(tmp_path, host, DISK_BYTES)
        assert left in list((tmp_path / "runs").iterdir())
        holder.kill()
    (tmp_path / "runs/half-removed").mkdir()
    async with run_folder(tmp_path, "living") as living:
        sweep(tmp_path, host, DISK_BYTES)
        assert sorted((tmp_path / "runs").iterdir()) == [living, Path(f"{living}.lock")]
    assert list((tmp_path / "runs").iterdir()) == []


def repository_in(home: Path) -> Path:
    repository = home / "repositories/one"
    for name in ("trees/a", "workspaces/a", "git/objects/pack", "cache"):
        (repository / name).mkdir(parents=True)
    (repository / "lock").touch()
    return repository


async def test_nothing_in_a_cache_can_fail_a_sweep_or_keep_a_repository(tmp_path: Path):
    host = await find_host(tmp_path)
    repository = repository_in(tmp_path)
    cache = repository / "cache"
    (cache / "round").symlink_to("round")
    (cache / "nowhere").symlink_to("/nowhere")
    (cache / ("x" * 252)).touch()
    (cache / "future").touch()
    age(cache / "future", -10_000)
    sweep(tmp_path, host, DISK_BYTES)
    assert cache.exists()
    age(repository / "lock", 31)
    sweep(tmp_path, host, DISK_BYTES)
    assert list((tmp_path / "repositories").iterdir()) == []
    assert list((tmp_path / "runs").iterdir()) == []


async def test_what_grows_is_bounded(tmp_path: Path):
    host = await find_host(tmp_path)
    repository = repository_in(tmp_path)
    (repository / "cache/large").write_bytes(b"x" * (DISK_BYTES + 1))
    for agent in ("old", "new"):
        (tmp_path / "agents" / agent).mkdir(parents=True)
        note_use(tmp_path / "agents" / agent)
    age(tmp_path / "agents/old.used", 31)
    sweep(tmp_path, host, DISK_BYTES)
    assert not (repository / "cache").exists()
    assert (repository / "trees/a").exists()
    assert [path.name for path in (tmp_path / "agents").iterdir() if path.is_dir()] == ["new"]
    for number in range(51):
        (repository / f"git/objects/pack/pack-{number}.pack").touch()
    sweep(tmp_path, host, DISK_BYTES)
    assert not repository.exists()


async def test_nobody_else_on_the_machine_sees_repositories_or_runs(tmp_path: Path):
    await find_host(tmp_path / "home")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "home").iterdir()}
    assert modes == {"runs": 0o700, "repositories": 0o700}
    assert list((tmp_path / "home/runs").iterdir()) == []


# Sandboxes without a service


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees who is first in a namespace that it did not make")
def test_a_sandbox_that_nobody_holds_is_ended_and_one_that_somebody_does_is_not():
    with subprocess.Popen(HELD) as held, subprocess.Popen([sys.executable, "-c", LEAVE]) as left:
        kept, orphan = child_of(held.pid), child_of(left.pid)
        try:
            end_orphans(None)
            assert not Path(f"/proc/{orphan}/cmdline").read_bytes()  # its parent has yet to take note
            assert Path(f"/proc/{kept}/cmdline").read_bytes()
        finally:
            for pid in (kept, orphan, held.pid, left.pid):
                os.kill(pid, signal.SIGKILL)


LEAVE = """
import ctypes, os, time
ctypes.CDLL(None).unshare(0x20000000)
if os.fork() == 0:
    os.execvp('sleep', ['aideator-sandbox', '1000'])
time.sleep(1000)
"""
"""Starts what seems to be the first process of a sandbox, in a namespace of process ids."""
HELD = ["bash", "-c", f'exec -a aideator-sandbox {sys.executable} -c "$0"', LEAVE]
"""The same under a parent that seems to be bubblewrap's."""


def child_of(parent: int) -> int:
    """Its child, once that has its name."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                is_child = f"\nPPid:\t{parent}\n" in (process / "status").read_text()
                if is_child and (process / "cmdline").read_bytes() == b"aideator-sandbox\x001000\0":
                    return int(process.name)
    raise AssertionError("it has none")


# All of it


@needs_bwrap
async def test_a_deep_tree_is_no_trouble_to_the_runs_that_follow(tmp_path: Path, git: GitRepositories):
    engine = LocalEngine(LocalOptions(home=tmp_path / "local"))
    asked = spec(git.make("repo"))
    dig = "i=0; while [ $i -lt 1500 ]; do mkdir d && cd -P d; i=$((i+1)); done; :"
    with anyio.fail_after(60):
        async with prepared(engine, asked) as sandbox:
            with pytest.raises(EngineError, match="levels deep"):
                await vary(sandbox, 0, by_command(dig))
        assert list((tmp_path / "local/runs").iterdir()) == []
        async with prepared(engine, asked) as sandbox:
            assert (await vary(sandbox, 0, by_command("true"))).exit == 0
