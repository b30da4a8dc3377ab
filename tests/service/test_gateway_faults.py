"""Runs whose gateway, or the engine that has it, does not do what it should."""

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing

import anyio
import pytest
from msgspec import structs
from structlog.testing import capture_logs

from service.engine import Line, Producer, Serving
from service.errors import EngineError
from service.frames import now
from service.settings import Settings
from tests.faulty_engine import FaultyEngine, FaultySandbox
from tests.git_repositories import GitRepositories
from tests.providers.fake import FakeProvider, fake_provider
from tests.providers.script import Script, Turn, shell, submit
from tests.service.api import check_log, frames, service, start_run, until

WORK: Script = (Turn(calls=[shell("echo done > made")]), Turn(calls=[submit()]))
MODEL = "anthropic/claude-sonnet-5-5"
KEY = "ANTHROPIC_API_KEY"


class Unreadable(FaultySandbox):
    """The ledger cannot be had, though the gateway lives."""

    async def final_output(self, producer: Producer) -> list[bytes]:
        if producer == "gateway":
            raise EngineError("gateway.failed", "no ledger today")
        return await super().final_output(producer)


class Noisy(FaultySandbox):
    """The gateway prints what is no event."""

    async def relay(self) -> AsyncGenerator[Line | Serving]:
        async with aclosing(super().relay()) as items:
            async for item in items:
                yield item
                if isinstance(item, Serving):
                    for _ in range(100):
                        yield Line("gateway", b"WARNING: \xff" + b"x" * 10_000, now())


class Stuck(FaultySandbox):
    """The gateway never serves."""

    async def relay(self) -> AsyncGenerator[Line | Serving]:
        await anyio.sleep_forever()
        yield Serving()


class Endless(FaultySandbox):
    """The gateway does not end when it is asked to."""

    async def end_relay(self) -> None:
        await anyio.sleep_forever()


@pytest.fixture
def fake() -> Generator[FakeProvider]:
    with fake_provider(WORK) as fake:
        yield fake


@pytest.fixture
def settings(settings: Settings, fake: FakeProvider) -> Settings:
    return structs.replace(settings, anthropic_base_url=fake.url)


async def test_a_ledger_that_cannot_be_read_costs_no_patch(
    settings: Settings, database_url: str, engine: FaultyEngine, git: GitRepositories, fake: FakeProvider
):
    async with service(settings, database_url, FaultyEngine(engine, Unreadable), {KEY: fake.key}) as client:
        ended = await until(client, await start_run(client, git.make("repo"), model=MODEL))
    assert ended["state"] == "succeeded", ended
    assert ended["variations"][0]["patch_bytes"]


async def test_what_a_gateway_prints_besides_its_events_is_for_the_operator_and_not_without_bound(
    settings: Settings, database_url: str, engine: FaultyEngine, git: GitRepositories, fake: FakeProvider
):
    with capture_logs() as told:
        async with service(settings, database_url, FaultyEngine(engine, Noisy), {KEY: fake.key}) as client:
            run = await start_run(client, git.make("repo"), model=MODEL)
            ended = await until(client, run, "succeeded")
            log = await frames(client, run)
    check_log(log)
    assert not [frame for frame in log if "WARNING" in frame.data["content"]]
    noise = [each for each in told if "WARNING" in str(each.get("line"))]
    assert 0 < len(noise) < 100
    assert {each["run_id"] for each in noise} == {ended["run_id"]}
    assert max(len(each["line"]) for each in noise) <= 1000


async def test_a_gateway_that_does_not_serve_in_time_fails_the_run(
    settings: Settings, database_url: str, engine: FaultyEngine, git: GitRepositories, fake: FakeProvider
):
    settings = structs.replace(settings, setup_timeout=0.5)
    async with service(settings, database_url, FaultyEngine(engine, Stuck), {KEY: fake.key}) as client:
        ended = await until(client, await start_run(client, git.make("repo"), model=MODEL))
    assert (ended["state"], ended["code"]) == ("failed", "gateway.failed")
    assert "0.5 seconds" in ended["detail"]


async def test_a_gateway_that_does_not_end_is_left_and_the_run_ends_well(
    settings: Settings, database_url: str, engine: FaultyEngine, git: GitRepositories, fake: FakeProvider
):
    async with service(settings, database_url, FaultyEngine(engine, Endless), {KEY: fake.key}) as client:
        ended = await until(client, await start_run(client, git.make("repo"), model=MODEL))
    assert (ended["state"], ended["usage"]["calls"]) == ("succeeded", len(WORK))


async def test_what_the_gateway_tells_is_shown_with_the_variation_that_it_is_about(
    settings: Settings, database_url: str, engine: FaultyEngine, git: GitRepositories, fake: FakeProvider
):
    async with service(settings, database_url, engine, {KEY: fake.key}) as client:
        run = await start_run(client, git.make("repo"), model=MODEL, variations=2)
        await until(client, run, "succeeded")
        used = [frame.data for frame in await frames(client, run) if frame.event["kind"] == "usage"]
    gateways = [data["content"] for data in used if data["variation_id"] is None]
    assert {content.partition(": ")[0] for content in gateways} == {"variation 0", "variation 1"}
    assert all(", $0.0" in content for content in gateways)
