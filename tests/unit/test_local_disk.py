"""What a folder may take of the disk."""

import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import anyio
import pytest
from unprivileged import unprivileged

from service.engine.local.disk import watch_disk
from tests.disks import or_skip, plain_disk

MIB = 1 << 20


def write(file: Path, size: int = 4 * MIB) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * size)


async def is_content(folder: Path, limit_bytes: int = 6 * MIB) -> bool:
    """Whether nothing is wrong at the first look."""
    with anyio.move_on_after(0.5):
        await watch_disk(folder, limit_bytes)
        return False
    return True


def link(folder: Path) -> None:
    for name in range(5):
        (folder / str(name)).hardlink_to(folder / "file")


def leave_a_hole(folder: Path) -> None:
    with (folder / "hole").open("wb") as file:
        file.truncate(100 * MIB)


def point_elsewhere(folder: Path) -> None:
    write(folder.parent / "elsewhere/file")
    write(folder.parent / "elsewhere/another")
    (folder / "out").symlink_to(folder.parent / "elsewhere")
    (folder / "round").symlink_to(folder)


@pytest.mark.parametrize("extend", [link, leave_a_hole, point_elsewhere])
async def test_what_takes_no_room_does_not_count(tmp_path: Path, extend: Callable[[Path], None]):
    write(tmp_path / "tree/file")
    extend(tmp_path / "tree")
    assert await is_content(tmp_path / "tree")
    with anyio.fail_after(30):
        assert await watch_disk(tmp_path / "tree", 3 * MIB), "it has been looked at"


async def test_a_folder_that_grows_too_large_is_told(tmp_path: Path):
    write(tmp_path / "a/b/one")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write_later, tmp_path / "c/two")
        with anyio.fail_after(30):
            assert await watch_disk(tmp_path, 6 * MIB) == "its files take more than 6 MiB of the disk"


async def write_later(file: Path) -> None:
    await anyio.sleep(0.1)
    write(file)


async def test_a_folder_that_is_no_more_or_changes_all_the_time_is_no_error(tmp_path: Path):
    assert await is_content(tmp_path / "nowhere")
    churn = "while :; do mkdir -p a/b/c; echo x > a/b/c/x; ln -s / a/b/l; rm -rf a; done"
    async with await anyio.open_process(["sh", "-c", churn], cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        for _ in range(5):
            assert await is_content(tmp_path)
        assert process.returncode is None
        process.kill()


async def test_folders_that_are_too_deep_to_be_looked_at_are_told(tmp_path: Path):
    make = "i=0; while [ $i -lt 300 ]; do mkdir d && cd -P d; i=$((i+1)); done"
    await anyio.run_process(["sh", "-c", make], cwd=tmp_path)
    with anyio.fail_after(30):
        assert await watch_disk(tmp_path, MIB << 10) == "its folders are more than 250 levels deep"


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A disk of 64 MiB."""
    with or_skip(plain_disk(tmp_path / "disk", 64)) as disk:
        yield disk


async def test_a_disk_that_is_nearly_full_is_told(small_disk: Path):
    (small_disk / "tree").mkdir()
    assert await is_content(small_disk / "tree")
    write(small_disk / "of another", 62 * MIB)
    with anyio.fail_after(30):
        said = await watch_disk(small_disk / "tree", MIB)
    assert said == "the disk is full: of its 64 MiB less than 3.2 MiB are free"


def test_who_shuts_its_own_folder_hides_nothing():
    """As the user to whom the folder belongs: root is let in anyhow."""
    watch = (
        "import anyio; from pathlib import Path; from service.engine.local.disk import watch_disk;"
        "print(anyio.run(watch_disk, Path('tree'), 1 << 20))"
    )
    make = "mkdir -p tree/shut; head -c 4000000 /dev/zero > tree/shut/file; chmod 0 tree/shut"
    with unprivileged() as user:
        user.run(["sh", "-c", make])
        assert user.run([sys.executable, "-c", watch]).stdout == b"its files take more than 1 MiB of the disk\n"


async def test_on_a_full_disk_whoever_takes_the_most_ends_and_no_other(small_disk: Path):
    said: dict[str, str] = {}

    async def watch(name: str) -> None:
        said[name] = await watch_disk(small_disk / name, 64 * MIB)

    for name, size in {"a": 4, "large": 10, "b": 5}.items():
        write(small_disk / name / "file", size * MIB)
    write(small_disk / "of another", 44 * MIB)
    with anyio.move_on_after(30):
        async with anyio.create_task_group() as tasks:
            for name in ("a", "large", "b"):
                tasks.start_soon(watch, name)
            while not said:  # noqa: ASYNC110
                await anyio.sleep(0.01)
            (small_disk / "large/file").unlink()
            await anyio.sleep(1.5)
            tasks.cancel_scope.cancel()
    assert said == {"large": "the disk is full: of its 64 MiB less than 3.2 MiB are free"}


async def test_open_files_without_a_name_count(tmp_path: Path):
    with anyio.fail_after(30):
        assert "more than 1 MiB" in await watch_disk(tmp_path, MIB, lambda: 2 * MIB)
