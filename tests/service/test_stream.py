import random

import anyio
import httpx2
import pytest
from msgspec import structs

from service.frames import HEARTBEAT
from service.settings import Settings
from tests.faulty_engine import FaultyEngine
from tests.git_repositories import GitRepositories
from tests.service.api import check_log, log_of, parse, service, start_run, stream, until, until_printed
from tests.service.gates import Gates
from tests.service.viewer import CutViewer

Client = httpx2.AsyncClient


@pytest.fixture
async def ended(client: Client, git: GitRepositories) -> str:
    """A run that has ended."""
    run = await start_run(client, git.make("repo"), "seq 1 40", variations=2)
    await until(client, run)
    return run


async def test_a_viewer_goes_on_after_any_frame_that_it_saw(client: Client, ended: str):
    log = parse(await stream(client, ended))
    for index, frame in [*list(enumerate(log))[:: len(log) // 10], (len(log) - 1, log[-1])]:
        rest = b"".join(each.raw for each in log[index + 1 :])
        assert await stream(client, ended, after=frame.id) == rest
        assert (await client.get(f"{ended}/stream", params={"after": frame.id})).content == rest


async def test_the_header_goes_before_the_parameter(client: Client, ended: str):
    log = parse(await stream(client, ended))
    response = await client.get(f"{ended}/stream", params={"after": log[0].id}, headers={"Last-Event-ID": log[-2].id})
    assert response.content == log[-1].raw


@pytest.mark.parametrize(
    "strange", ["garbage", "1", "1-", "-1", "1-x", "1-1-1", "0-0", "1-" + "9" * 30, "\uff11-\uff11", "\xe9", "1--5"]
)
async def test_a_viewer_that_lost_its_place_starts_from_the_beginning(client: Client, ended: str, strange: str):
    whole = await stream(client, ended)
    assert (await client.get(f"{ended}/stream", params={"after": strange})).content == whole
    header = {"Last-Event-ID": strange.encode()}
    assert (await client.get(f"{ended}/stream", headers=header)).content == whole  # pyright: ignore[reportArgumentType]


async def test_an_id_of_the_future_starts_from_the_beginning(client: Client, ended: str):
    whole = await stream(client, ended)
    for future in ("1-1000", "999999999999999999-999999999999999999"):
        assert await stream(client, ended, after=future) == whole


async def test_a_stream_may_not_be_kept_or_held_back_on_its_way(client: Client, ended: str):
    response = await client.get(f"{ended}/stream", headers={"Accept-Encoding": "gzip, br"})
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in response.headers


async def test_a_cut_at_each_byte_of_a_frame_loses_and_repeats_nothing(client: Client, ended: str):
    whole = await stream(client, ended)
    head = len(await _raw_head(client, ended))
    frame = parse(whole)[0]
    for cut in range(1, len(frame.raw) + 20):
        viewer = CutViewer(client, ended)
        await viewer.watch(head + cut)
        await viewer.watch(1 << 20)
        assert viewer.seen == whole, cut


async def _raw_head(client: Client, run: str) -> bytes:
    async with await anyio.connect_tcp(client.base_url.host, client.base_url.port or 80) as connection:
        await connection.send(f"GET {run}/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += await connection.receive()
    return received.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


@pytest.mark.parametrize("seed", range(3))
async def test_random_cuts_live_and_after_the_end_give_the_frames_of_a_viewer_never_cut(
    client: Client, git: GitRepositories, gates: Gates, seed: int
):
    chance = random.Random(seed)
    lines = f"i=0; until {gates.is_open()}; do i=$((i+1)); echo line $i é; sleep 0.003; done; seq 1 500"
    run = await start_run(client, git.make("repo"), lines, variations=2)
    never_cut: list[bytes] = []

    async def watch() -> None:
        never_cut.append(log_of(await stream(client, run)))

    viewer = CutViewer(client, run)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        for _ in range(60):
            await viewer.watch(chance.randint(1, 6_000))
            assert not viewer.ended
        gates.open()
        while not viewer.ended:
            await viewer.watch(chance.randint(500, 60_000))
    (whole,) = never_cut
    check_log(parse(whole))
    assert log_of(viewer.seen) == whole
    again, cuts = CutViewer(client, run), 0
    while not again.ended:
        await again.watch(chance.randint(1, len(whole) // 10))
        cuts += 1
    assert cuts >= 10
    assert again.seen == whole


async def test_a_heartbeat_comes_in_silence_and_is_not_part_of_the_log(
    settings: Settings, database_url: str, engine: FaultyEngine, git: GitRepositories, gates: Gates
):
    quick = structs.replace(settings, heartbeat=0.05)
    async with service(quick, database_url, engine) as client:
        run = await start_run(client, git.make("repo"), f"echo here; {gates.wait()}")
        await until_printed(client, run, "here")
        received = b""
        with anyio.fail_after(20):
            async with client.stream("GET", f"{run}/stream") as response:
                async for chunk in response.aiter_raw():
                    received += chunk
                    if received.count(HEARTBEAT) >= 3:
                        gates.open()
        beats = [frame for frame in parse(received) if frame.name == "heartbeat"]
        assert len(beats) >= 3
        assert all(frame.raw == HEARTBEAT and not frame.id for frame in beats)
        assert log_of(received) == await stream(client, run)


async def test_a_hundred_viewers_see_the_same(client: Client, git: GitRepositories, gates: Gates):
    run = await start_run(client, git.make("repo"), f"{gates.wait()}; seq 1 200")
    seen: list[bytes] = []

    async def watch() -> None:
        async with client.stream("GET", f"{run}/stream", timeout=None) as response:
            seen.append(log_of(b"".join([chunk async for chunk in response.aiter_raw()])))

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(watch)
        await until(client, run, "running")
        gates.open()
    assert set(seen) == {await stream(client, run)}


async def test_stopping_the_service_ends_its_runs_and_its_streams_in_order(
    settings: Settings, database_url: str, engine: FaultyEngine, git: GitRepositories
):
    received: list[bytes] = []
    command, run = "echo hello; sleep 1000", ""

    async def watch(url: str) -> None:
        async with httpx2.AsyncClient(timeout=None) as viewer, viewer.stream("GET", url) as response:
            async for chunk in response.aiter_raw():
                received.append(chunk)  # noqa: PERF401 -- it is read meanwhile

    async with anyio.create_task_group() as tasks, service(settings, database_url, engine) as client:
        run = await start_run(client, git.make("repo"), command)
        tasks.start_soon(watch, f"{client.base_url}{run}/stream")
        with anyio.fail_after(20):
            while b"hello" not in b"".join(received):  # noqa: ASYNC110 -- it is another's list
                await anyio.sleep(0.01)
    async with service(settings, database_url, engine) as client:
        ended = await until(client, run)
        assert (ended["state"], ended["code"]) == ("lost", "service.stopped")
        assert [each["state"] for each in ended["variations"]] == ["lost"]
        log = await stream(client, run)
        check_log(parse(log))
        assert log.startswith(log_of(b"".join(received)))
