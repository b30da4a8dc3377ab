"""Control groups: of version 1 for real where they may be made, of version 2 in a folder that stands in for them."""

import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from service.engine.local.cgroup import Cgroups, Group, GroupLimits
from service.engine.local.maker import is_of_dead, is_of_living, maker

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
LIMITS = GroupLimits(memory_bytes=64 * MIB, processes=20)
JOIN = "for procs in {}; do echo $$ > $procs; done; "
EAT = f"{sys.executable} -c 'x = b\"x\" * {200 * MIB}'; echo $?"
FORK = "i=0; while [ $i -lt 50 ]; do sleep 1000 > /dev/null 2>&1 & i=$((i+1)); done"


@pytest.fixture(scope="module")
def real() -> Cgroups:
    """What this machine has."""
    if (found := Cgroups.find()) is None:
        pytest.skip("no control groups can be made here")
    return found


@pytest.fixture
def name() -> str:
    return f"test-{uuid4().hex}"


@contextmanager
def member(group: Group, script: str) -> Generator[subprocess.Popen[bytes]]:
    """A shell that joins the group, and then does as `script` says."""
    join = JOIN.format(" ".join(map(str, group.procs)))
    pipe = subprocess.PIPE
    with subprocess.Popen(["sh", "-c", join + script], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def members(group: Group) -> list[set[str]]:
    """Who is in it, in each of its folders."""
    return [set(procs.read_text().split()) for procs in group.procs]


def remains(name: str) -> list[Path]:
    return list(Path("/sys/fs/cgroup").glob(f"**/*.{name}"))


# For real


def test_who_takes_more_memory_than_its_group_has_is_killed_and_nobody_else(real: Cgroups, name: str):
    with (
        real.group(name, LIMITS) as group,
        real.group(f"{name}-sibling", LIMITS) as sibling,
        member(sibling, "cat; true") as other,
        member(group, EAT) as process,
    ):
        wait_until_joined(sibling, {str(other.pid)})
        assert process.communicate(timeout=30)[0] == b"137\n"
        assert (group.oom_kills(), sibling.oom_kills()) == (1, 0)
        assert other.poll() is None
    assert remains(name) == []


def test_who_forks_without_end_comes_to_the_limit_and_leaves_nothing(real: Cgroups, name: str):
    with real.group(name, LIMITS) as group, member(group, FORK) as process:
        said = process.communicate()[1]
        assert b"fork" in said.lower()
        assert all(0 < len(found) <= LIMITS.processes for found in members(group))
        left = members(group)[0]
    assert not [pid for pid in left if is_alive(pid)]
    assert remains(name) == []


def is_alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in b"ZX"
    except OSError:
        return False


LEAVE = """
import os, subprocess, sys
from service.engine.local.cgroup import Cgroups, GroupLimits
with Cgroups.find().group(sys.argv[1], GroupLimits(64 << 20, 20)) as group:
    child = subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL)
    for procs in group.procs:
        procs.write_text(str(child.pid))
    print(child.pid, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_what_is_left_of_others_is_swept_and_what_lives_is_not(real: Cgroups, name: str):
    leave = [sys.executable, "-c", LEAVE, f"{name}-left"]
    left = subprocess.run(leave, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    with real.group(name, LIMITS) as living, member(living, "cat") as ours:
        wait_until_joined(living, {str(ours.pid)})
        real.sweep()
        assert (remains(f"{name}-left"), is_alive(left)) == ([], False)
        assert ours.poll() is None
        assert remains(name)


def test_what_another_pid_namespace_has_made_is_not_ours_to_judge():
    """As in another container, which has numbers of its own for its processes."""
    script = (
        f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); import service.engine.local.maker as it; print(it.maker())"
    )
    elsewhere = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*elsewhere, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no namespace is to be had here")
    made = subprocess.check_output([*elsewhere, sys.executable, "-c", script], text=True).strip()
    assert not is_of_dead(f"{made}.run")
    assert not is_of_living(f"{made}.run")
    assert is_of_living(f"{maker()}.run")


def wait_until_joined(group: Group, pids: set[str]) -> None:
    while not all(pids <= found for found in members(group)):
        time.sleep(0.001)


def test_processors_are_shared_out(real: Cgroups, name: str):
    if not real.limits_cpu:
        pytest.skip("there is no such controller here")
    with real.group(name, GroupLimits(memory_bytes=0, processes=0, cpus=0.5)) as group:
        folders = {procs.parent for procs in group.procs}
        files = [folder / file for folder in folders for file in ("cpu.max", "cpu.cfs_quota_us")]
        assert [file.read_text().split()[0] for file in files if file.exists()] == ["50000"]


# In a folder that stands in for what is mounted


class Mounted:
    """Says that control groups are mounted below `folder`, and that we are in `ours` of version 2."""

    def __init__(self, folder: Path, ours: str, *, controllers: str, first: Sequence[str] = ()) -> None:
        self.top = folder / "cgroup2"
        self.mounts, self.own = folder / "mountinfo", folder / "own"
        self.top.joinpath(ours).mkdir(parents=True)
        self.own.write_text(f"4:memory:/elsewhere\n0::/{ours}\n")
        lines = ["22 27 0:21 / /proc rw,relatime - proc proc rw"]
        for name in first:
            (folder / name).mkdir()
            lines.append(f"35 31 0:32 / {folder / name} rw,relatime - cgroup cgroup rw,{name}")
        lines.append(f"41 31 0:38 / {self.top} rw shared:9 - cgroup2 none rw")
        self.mounts.write_text("\n".join(lines))
        for group in self.top.glob("**/"):
            (group / "cgroup.controllers").write_text(controllers)

    def find(self) -> Cgroups | None:
        return Cgroups.find(self.mounts, self.own)

    def refuse(self, group: str) -> None:
        """Let nobody make a group below this one."""
        (self.top / group / "aideator").write_text("in the way")


def read(folder: Path, *names: str) -> list[str]:
    return [(folder / name).read_text() for name in names]


OURS = "user.slice/session.scope"
ALL = "cpuset cpu io memory pids"


def test_groups_of_version_2_are_given_their_controllers_and_limits(tmp_path: Path):
    mounted = Mounted(tmp_path, OURS, controllers=ALL)
    found = mounted.find()
    assert found is not None
    assert (found.version, found.limits_cpu) == ("v2", True)
    for folder in (mounted.top, mounted.top / "aideator"):
        assert read(folder, "cgroup.subtree_control") == ["+memory +pids +cpu"]
    with found.group("one", GroupLimits(memory_bytes=64 * MIB, processes=20, cpus=1.5)) as group:
        (procs,) = group.procs
        assert procs == mounted.top / f"aideator/{maker()}.one/cgroup.procs"
        limits = read(procs.parent, "memory.max", "memory.swap.max", "pids.max", "cpu.max")
        assert limits == [str(64 * MIB), "0", "20", "150000 100000"]
        assert group.oom_kills() == 0
        (procs.parent / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n")
        assert group.oom_kills() == 2
    assert read(procs.parent, "cgroup.kill") == ["1"]


def test_what_is_not_limited_is_left_as_it_is(tmp_path: Path):
    found = Mounted(tmp_path, OURS, controllers=ALL).find()
    assert found is not None
    with found.group("one", GroupLimits(memory_bytes=0, processes=0)) as group:
        assert list(group.procs[0].parent.iterdir()) == []


def test_who_may_not_at_the_top_may_near_its_own_group(tmp_path: Path):
    mounted = Mounted(tmp_path, OURS, controllers=ALL)
    mounted.refuse("")
    mounted.refuse(OURS)
    assert mounted.find() is not None
    assert (mounted.top / "user.slice/aideator").is_dir()


def test_in_a_group_that_is_delegated_to_it_a_process_steps_aside(tmp_path: Path):
    mounted = Mounted(tmp_path, OURS, controllers=ALL)
    for group in ("", "user.slice", OURS):
        mounted.refuse(group)
    (mounted.top / OURS / "cgroup.procs").write_text("4711\n")
    mounted.find()
    assert read(mounted.top / OURS / "aideator-service", "cgroup.procs") == ["4711"]


def test_where_version_2_has_no_memory_version_1_is_taken(tmp_path: Path):
    mounted = Mounted(tmp_path, OURS, controllers="hugetlb", first=("memory", "pids"))
    found = mounted.find()
    assert found is not None
    assert (found.version, found.limits_cpu) == ("v1", False)
    with found.group("one", GroupLimits(memory_bytes=64 * MIB, processes=20, cpus=1.5)) as group:
        memory, pids = (procs.parent for procs in group.procs)
        assert (memory, pids) == (
            tmp_path / f"memory/aideator/{maker()}.one",
            tmp_path / f"pids/aideator/{maker()}.one",
        )
        assert read(memory, "memory.limit_in_bytes", "memory.memsw.limit_in_bytes") == [str(64 * MIB)] * 2
        assert read(pids, "pids.max") == ["20"]


@pytest.mark.parametrize("first", [(), ("memory",), ("pids", "cpu")])
def test_where_memory_or_processes_cannot_be_bounded_there_are_none(tmp_path: Path, first: Sequence[str]):
    assert Mounted(tmp_path, OURS, controllers="cpu io", first=first).find() is None
