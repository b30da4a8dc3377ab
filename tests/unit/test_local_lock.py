"""A lock keeps others out for as long as its holder lives, and never two who believe to be alone."""

from pathlib import Path

import anyio
import pytest

from service.engine.local.lock import locked


async def is_free(file: Path, *, shared: bool = False) -> bool:
    with anyio.move_on_after(0.05):
        async with locked(file, shared=shared):
            return True
    return False


async def test_one_alone_or_many_who_share(tmp_path: Path):
    file = tmp_path / "folder" / "lock"
    async with locked(file, shared=True):
        assert await is_free(file, shared=True)
        assert not await is_free(file)
    async with locked(file):
        assert not await is_free(file, shared=True)
    assert await is_free(file)


async def test_it_is_free_again_however_its_holder_ends(tmp_path: Path):
    file = tmp_path / "lock"
    with pytest.raises(KeyError):
        async with locked(file):
            raise KeyError
    with anyio.CancelScope() as scope:
        async with locked(file):
            assert not await is_free(file)
            scope.cancel()
            await anyio.sleep_forever()
    assert await is_free(file)


async def test_who_waited_for_a_file_that_was_removed_locks_the_one_that_others_will(tmp_path: Path):
    file = tmp_path / "folder" / "lock"
    others: list[bool] = []

    async def wait() -> None:
        async with locked(file):
            others.append(await is_free(file))

    async with anyio.create_task_group() as tasks, locked(file):
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        file.unlink()
        file.parent.rmdir()
    assert others == [False]


async def test_what_its_holder_does_not_find_is_the_holder_s_to_know(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        async with locked(tmp_path / "lock"):
            (tmp_path / "nothing").read_bytes()
    assert await is_free(tmp_path / "lock")
