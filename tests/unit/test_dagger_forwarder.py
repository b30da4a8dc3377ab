"""The way to a provider on this machine is the gateway's alone."""

import socket
from collections.abc import Generator

import anyio
import httpx2
import pytest

from service.engine.dagger.forwarder import HEADER, Forwarder
from tests.providers.fake import FakeProvider, fake_provider
from tests.providers.faults import cut_after
from tests.providers.script import Turn

BODY = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
LIMIT_S = 30.0


@pytest.fixture
def fake() -> Generator[FakeProvider]:
    with fake_provider([Turn(text="Yes.")]) as fake:
        yield fake


async def test_calls_with_the_secret_pass_on_one_connection_or_many(fake: FakeProvider):
    forwarder = Forwarder("127.0.0.1", fake.port, tls=False)
    async with forwarder.running():
        headers = {HEADER: forwarder.secret, "x-api-key": fake.key}
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{forwarder.port}", headers=headers) as client:
            answers = [await client.post("/v1/messages", json=BODY) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3


@pytest.mark.parametrize("headers", [{}, {HEADER: ""}, {HEADER: "wrong"}, {"x": "y" * 100_000}])
async def test_a_call_without_the_secret_reaches_nobody(fake: FakeProvider, headers: dict[str, str]):
    forwarder = Forwarder("127.0.0.1", fake.port, tls=False)
    async with forwarder.running(), httpx2.AsyncClient() as client:
        with pytest.raises(httpx2.TransportError):
            await client.post(f"http://127.0.0.1:{forwarder.port}/v1/messages", json=BODY, headers=headers)
    assert not fake.requests


async def test_a_provider_that_breaks_off_or_is_not_there_is_noticed_at_once(fake: FakeProvider):
    forwarder = Forwarder("127.0.0.1", fake.port, tls=False)
    headers = {HEADER: forwarder.secret, "x-api-key": fake.key}
    fake.fail_next(cut_after(2))
    with anyio.fail_after(LIMIT_S):
        async with forwarder.running(), httpx2.AsyncClient(timeout=None) as client:
            url = f"http://127.0.0.1:{forwarder.port}/v1/messages"
            with pytest.raises(httpx2.TransportError):
                await client.post(url, json={**BODY, "stream": True}, headers=headers)
            fake.stop()
            with pytest.raises(httpx2.TransportError):
                await client.post(url, json=BODY, headers=headers)


async def test_it_listens_on_the_loopback_alone_and_no_longer_than_it_runs():
    forwarder = Forwarder("127.0.0.1", 9, tls=False)
    async with forwarder.running():
        port = forwarder.port
        with socket.create_connection(("127.0.0.1", port)):
            pass
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", port))
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))
