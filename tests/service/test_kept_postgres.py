"""A Postgres of our own that dies while it is used."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from service.db.availability import outlast
from service.db.embedded import embedded_postgres
from tests.processes import processes_that_say
from tests.service.postgres_home import drop_home, is_running, make_home, postmaster, query


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    home = make_home()
    yield home
    drop_home(home)


async def test_it_is_started_again_with_what_was_committed(home: Path):
    async with embedded_postgres(home) as url:
        await query(url, "create table kept as select 7 as number")
        for _ in range(2):
            os.kill(server := postmaster(home), signal.SIGKILL)
            with anyio.fail_after(30):
                while not is_running(home) or postmaster(home) == server:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
                assert await outlast(lambda: query(url, "select number from kept")) == 7
    assert not is_running(home)


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3])
async def test_who_leaves_while_it_starts_again_leaves_none(home: Path, after_s: float):
    async with embedded_postgres(home):
        os.kill(postmaster(home), signal.SIGKILL)
        await anyio.sleep(after_s)
    assert processes_that_say(str(home)) == []
