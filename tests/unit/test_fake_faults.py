"""The fake provider of our own fails just as it is told to."""

from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Any

import anthropic
import anyio
import httpx2
import msgspec
import openai
import pytest
from any_wire import ASKED, PATHS, every_wire

from agent_image.gateway.plan import Wire
from tests.providers.fake import FakeProvider, fake_provider
from tests.providers.faults import (
    BEFORE_HEAD,
    BROKEN_ARGUMENTS,
    Fault,
    cut_after,
    end_after,
    error_after,
    huge,
    refused,
    silence_after,
    slow,
    spend_limit,
)
from tests.providers.script import Turn, shell
from tests.providers.sdk_agents import AGENTS

LAST_EVENTS = {"messages": '"message_stop"', "chat": "[DONE]", "responses": '"response.completed"'}


@pytest.fixture
def fake() -> Generator[FakeProvider]:
    with fake_provider([Turn(text="I shall look around, and say so.", calls=[shell("ls")])]) as fake:
        yield fake


@pytest.fixture
async def client(fake: FakeProvider) -> AsyncGenerator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=fake.url, headers={"x-api-key": fake.key}, timeout=30) as client:
        yield client


def frames(body: str) -> Sequence[str]:
    return body.split("\n\n")[:-1]


@every_wire
@pytest.mark.parametrize("status", [401, 429, 500, 502, 503, 529])
async def test_a_status_comes_as_often_as_asked_for(
    fake: FakeProvider, client: httpx2.AsyncClient, wire: Wire, status: int
):
    fake.fail_next(refused(status), times=2)
    answers = [await client.post(PATHS[wire], json=ASKED) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert answers[0].json()["error"]["type"]
    assert ("type" in answers[0].json()) == (wire == "messages")
    assert "retry-after" not in answers[0].headers


async def test_a_refusal_may_say_when_to_come_back(fake: FakeProvider, client: httpx2.AsyncClient):
    fake.fail_next(refused(429, retry_after="3", retry_after_ms="3000"))
    answer = await client.post("/v1/messages", json=ASKED)
    assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("3", "3000")


@pytest.mark.parametrize(
    ("wire", "error"), [("messages", "enforced_spend_limit_reached"), ("chat", "insufficient_quota")]
)
async def test_a_spend_limit_is_told_in_the_words_of_the_provider(
    fake: FakeProvider, client: httpx2.AsyncClient, wire: Any, error: str
):
    fake.fail_next(spend_limit(wire), times=None)
    for _ in range(3):
        answer = await client.post(PATHS[wire], json=ASKED)
        assert (answer.status_code, answer.json()["error"]["type"]) == (429, error)
    fake.heal()
    assert (await client.post(PATHS[wire], json=ASKED)).status_code == 200


async def test_a_fault_may_be_of_one_model_or_of_one_request(fake: FakeProvider, client: httpx2.AsyncClient):
    fake.fail_next(refused(503), model="another")
    assert (await client.post("/v1/messages", json=ASKED)).status_code == 200
    assert (await client.post("/v1/messages", json={**ASKED, "model": "another"})).status_code == 503
    header = msgspec.json.encode(Fault(status=418, body="a teapot")).decode()
    answer = await client.post("/v1/messages", json=ASKED, headers={"x-fault": header})
    assert (answer.status_code, answer.text) == (418, "a teapot")


@every_wire
async def test_a_stream_fails_after_every_number_of_events(fake: FakeProvider, client: httpx2.AsyncClient, wire: Wire):
    whole = frames((await client.post(PATHS[wire], json=ASKED)).text)
    assert LAST_EVENTS[wire] in whole[-1]
    for events in range(len(whole)):
        fake.fail_next(end_after(events))
        ended = frames((await client.post(PATHS[wire], json=ASKED)).text)
        fake.fail_next(error_after(events))
        failed = frames((await client.post(PATHS[wire], json=ASKED)).text)
        fake.fail_next(cut_after(events))
        cut = await _received(client, wire)
        assert len(ended) == len(cut) == events
        assert '"error"' in failed[events]
        assert not any(LAST_EVENTS[wire] in frame for frame in [*ended, *failed, *cut])
    assert fake.left == 0


@pytest.mark.parametrize(
    ("wire", "error"), [("messages", anthropic.APIStatusError), ("chat", openai.APIError), ("responses", RuntimeError)]
)
async def test_an_error_in_mid_stream_is_one_for_the_sdks(fake: FakeProvider, wire: Wire, error: type[Exception]):
    fake.fail_next(error_after(3))
    with pytest.raises(error):
        await AGENTS[wire](fake, stream=True)


async def test_a_connection_may_be_closed_without_an_answer(fake: FakeProvider, client: httpx2.AsyncClient):
    fake.fail_next(cut_after(BEFORE_HEAD))
    with pytest.raises(httpx2.RemoteProtocolError):
        await client.post("/v1/messages", json=ASKED)
    assert (await client.post("/v1/messages", json=ASKED)).status_code == 200


@pytest.mark.parametrize("events", [BEFORE_HEAD, 0, 3])
async def test_silence_lasts_until_it_is_broken(fake: FakeProvider, client: httpx2.AsyncClient, events: int):
    whole = (await client.post("/v1/messages", json=ASKED)).text
    fake.fail_next(silence_after(events))
    answers: list[str] = []

    async def ask() -> None:
        answers.append((await client.post("/v1/messages", json=ASKED)).text)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await fake.until(lambda: fake.open == 1)
        assert not answers
        fake.release()
    assert answers == [whole]


async def test_a_client_that_leaves_is_noticed(fake: FakeProvider, client: httpx2.AsyncClient):
    fake.fail_next(silence_after(2))
    async with client.stream("POST", "/v1/messages", json=ASKED) as answer:
        await anext(answer.aiter_raw())
        assert (fake.open, fake.left) == (1, 0)
    await fake.until(lambda: fake.left == 1)
    assert fake.open == 0


async def test_those_answered_at_once_are_counted(fake: FakeProvider, client: httpx2.AsyncClient):
    fake.fail_next(silence_after(BEFORE_HEAD), times=3)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(lambda: client.post("/v1/messages", json=ASKED))
        await fake.until(lambda: fake.open == 3)
        fake.release()
    assert (fake.most_open, fake.open, len(fake.requests)) == (3, 0, 3)


async def test_an_answer_may_be_huge(fake: FakeProvider, client: httpx2.AsyncClient):
    fake.fail_next(huge())
    async with client.stream("POST", "/v1/chat/completions", json=ASKED) as answer:
        assert sum([len(chunk) async for chunk in answer.aiter_raw()]) > 50_000_000


@every_wire
async def test_arguments_may_be_broken(fake: FakeProvider, client: httpx2.AsyncClient, wire: Wire):
    offered = [{"type": "function", "name": "run", "function": {"name": "run"}}]
    fake.fail_next(BROKEN_ARGUMENTS)
    assert '!!"' in (await client.post(PATHS[wire], json={**ASKED, "tools": offered})).text


async def test_events_may_take_their_time(fake: FakeProvider, client: httpx2.AsyncClient):
    fake.fail_next(slow(0.02))
    events = frames((await client.post("/v1/messages", json=ASKED)).text)
    recorded = fake.requests[0]
    assert recorded.ended
    assert recorded.ended - recorded.began >= 0.02 * len(events)


async def test_a_stopped_one_refuses_connections_and_may_come_back(fake: FakeProvider):
    fake.fail_next(silence_after(0))
    async with httpx2.AsyncClient(base_url=fake.url, headers={"authorization": f"Bearer {fake.key}"}) as client:
        async with client.stream("POST", "/v1/messages", json=ASKED) as answer:
            fake.stop()
            with pytest.raises(httpx2.RemoteProtocolError):
                await answer.aread()
        with pytest.raises(httpx2.ConnectError):
            await client.post("/v1/messages", json=ASKED)
        fake.start()
        assert (await client.post("/v1/messages", json=ASKED)).status_code == 200


async def _received(client: httpx2.AsyncClient, wire: Wire) -> Sequence[str]:
    """The frames that came before the connection was cut."""
    received = b""
    async with client.stream("POST", PATHS[wire], json=ASKED) as answer:
        try:
            async for chunk in answer.aiter_raw():
                received += chunk
        except httpx2.RemoteProtocolError:
            return frames(received.decode())
    pytest.fail("the connection was not cut")
