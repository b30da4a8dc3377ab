"""Agents that take more than they may, in the local engine's sandboxes: they are stopped, and no other notices."""

from pathlib import Path
from shutil import which

import pytest

from service.engine import SandboxSpec
from service.engine.local.engine import LocalEngine, LocalOptions
from tests.contract.sandboxes import spec
from tests.git_repositories import GitRepositories
from tests.service.beside import MIB, beside_a_sibling, error_beside_a_sibling, python

pytestmark = pytest.mark.skipif(which("bwrap") is None, reason="there is no bubblewrap")


@pytest.fixture
def engine(tmp_path: Path) -> LocalEngine:
    home = tmp_path / "local"
    return LocalEngine(LocalOptions(home=home, memory_bytes=256 * MIB, processes=80, disk_bytes=64 * MIB))


@pytest.fixture
def asked(git: GitRepositories) -> SandboxSpec:
    return spec(git.make("repo"))


FORK = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""


@pytest.mark.parametrize("bomb", [python(FORK), "while :; do (setsid sleep 1000 &); done"], ids=["fork", "daemons"])
async def test_who_forks_without_end_ends_at_its_deadline(engine: LocalEngine, asked: SandboxSpec, bomb: str):
    ended = await beside_a_sibling(engine, asked, bomb, timeout_s=4)
    assert ended.exit == 124


@pytest.mark.parametrize("place", ["/workspace", "/home/agent"])
async def test_who_fills_the_disk_is_ended(engine: LocalEngine, asked: SandboxSpec, place: str):
    fill = f"cd {place}; for i in 1 2 3; do head -c 30000000 /dev/zero > $i; done; sleep 1000"
    error = await error_beside_a_sibling(engine, asked, fill)
    assert (error.code, str(error)) == ("agent.disk", "its files take more than 64 MiB of the disk")


HOARD = """
import os, time
hoard = []
for _ in range(3):
    hoard.append(open("/workspace/x", "wb", buffering=0))
    os.unlink("/workspace/x")
    hoard[-1].write(b"x" * 30_000_000)
time.sleep(1000)
"""


async def test_what_has_no_name_any_more_counts_as_well(engine: LocalEngine, asked: SandboxSpec):
    error = await error_beside_a_sibling(engine, asked, python(HOARD))
    assert (error.code, str(error)) == ("agent.disk", "its files take more than 64 MiB of the disk")


async def test_no_file_grows_larger_than_a_tree_may(engine: LocalEngine, asked: SandboxSpec):
    ended = await beside_a_sibling(engine, asked, "head -c 100000000 /dev/zero > big; stat -c %s big; rm big")
    assert ended.printed() == b"%d\n" % (64 * MIB)


async def test_a_command_that_takes_too_much_memory_dies_and_the_harness_tells_of_it(
    engine: LocalEngine, asked: SandboxSpec
):
    ended = await beside_a_sibling(engine, asked, python("x = b'x' * (1 << 30)"))
    assert (ended.exit, ended.finished.reason[:11]) == (3, "the command")


async def test_files_in_memory_count_as_memory(engine: LocalEngine, asked: SandboxSpec):
    if "cgroups" not in (await engine.health()).detail:
        pytest.skip("without control groups, nobody counts them")
    fill = "for place in /tmp /dev/shm; do head -c 1000000000 /dev/zero > $place/x; stat -c %s $place/x; done"
    ended = await beside_a_sibling(engine, asked, fill)
    assert sum(map(int, ended.printed().split())) < 256 * MIB
