"""The local engine's trees where it cannot mount: copies that share their blocks where the disk can, or plain ones."""

import os
from collections.abc import Generator
from pathlib import Path
from shutil import which

import pytest

from service.engine.local.engine import LocalEngine, LocalOptions
from tests import disks
from tests.contract.sandboxes import by_command, prepared, spec, vary_all
from tests.git_repositories import FILES, GitRepositories
from tests.processes import traces_of

pytestmark = pytest.mark.skipif(which("bwrap") is None, reason="there is no bubblewrap")

VARIATIONS = 4
SETUP = "head -c 50000000 /dev/urandom > made; echo by setup > small; ln small linked; echo home > ~/settings"
WORK = """
test "$(stat -c %s made)" = 50000000
cat small linked ~/settings
echo "$VARIATION_ID" | tee -a small > ~/settings
git status --short README.md
echo changed > README.md
"""


@pytest.fixture
def sharing_disk(tmp_path: Path) -> Generator[Path]:
    with disks.or_skip(disks.sharing_disk(tmp_path / "disk", 1024)) as disk:
        yield disk


@pytest.fixture
def plain_disk(tmp_path: Path) -> Generator[Path]:
    with disks.or_skip(disks.plain_disk(tmp_path / "disk", 1024)) as disk:
        yield disk


def taken(disk: Path) -> int:
    found = os.statvfs(disk)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


async def work_by(means: str, disk: Path, git: GitRepositories) -> int:
    """Let variations work on trees made so, and see to it that they know nothing of each other; what they took."""
    engine = LocalEngine(LocalOptions(home=disk / "local"), overlay=False)
    assert f"trees by {means};" in (await engine.health()).detail
    url = git.make("repo", {**FILES, ".gitignore": "made\n"})
    asked = spec(url, setup=[SETUP])
    tasks = {index: by_command(f"set -e\n{WORK}") for index in range(VARIATIONS)}
    async with prepared(engine, asked) as sandbox:
        before = taken(disk)
        ended = await vary_all(sandbox, tasks)
        took = taken(disk) - before
        for index in tasks:
            assert (ended[index].exit, ended[index].printed()) == (0, b"by setup\nby setup\nhome\n"), ended[index]
            patch = await sandbox.patch(index)
            assert b"+changed\n" in patch
            assert b"+by setup\n+%d\n" % index in patch
        assert (await vary_all(sandbox, {9: by_command("cat small")}))[9].printed() == b"by setup\n"
    assert traces_of(asked.run_id) == []
    assert list((disk / "local" / "runs").iterdir()) == []
    return took


async def test_copies_share_their_blocks_where_the_disk_can(sharing_disk: Path, git: GitRepositories):
    assert await work_by("reflink", sharing_disk, git) < 50_000_000


async def test_copies_do_where_it_cannot(plain_disk: Path, git: GitRepositories):
    assert await work_by("copy", plain_disk, git) > VARIATIONS * 50_000_000
