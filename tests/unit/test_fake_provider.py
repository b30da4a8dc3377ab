"""The fake providers: real SDKs are led through scripts by either of them, and ours keeps what it was asked."""

import json
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import Any

import anthropic
import anyio
import httpx2
import openai
import pytest
from any_wire import ASKED, PATHS, every_wire

from agent_image.gateway.plan import Wire
from tests.providers.fake import FakeProvider, fake_provider
from tests.providers.provider import Serve
from tests.providers.script import Tokens, Turn, call, shell, submit
from tests.providers.sdk_agents import AGENTS, Heard

pytest_plugins = ["tests.providers.fixture"]

streamed_or_not = pytest.mark.parametrize("stream", [True, False])


@pytest.fixture
def fake() -> Generator[FakeProvider]:
    with fake_provider([Turn(text="I shall look around, and say so.", calls=[shell("ls")])]) as fake:
        yield fake


@pytest.fixture
async def client(fake: FakeProvider) -> AsyncGenerator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=fake.url, headers={"x-api-key": fake.key}, timeout=30) as client:
        yield client


def tools(*names: str) -> Sequence[Mapping[str, Any]]:
    """For Messages and for Responses."""
    return [{"type": "function", "name": name} for name in names]


@every_wire
@streamed_or_not
async def test_an_sdk_is_led_through_a_script(provider: Serve, wire: Wire, stream: bool):
    script = [
        Turn(calls=[shell("ls")]),
        Turn(calls=[call("Bash", command="cat 'a file'")]),
        Turn(text="It is done, and here is what I did.", thinking="What did I do?"),
    ]
    running = provider(script, tokens=Tokens(input=11, output=7))
    heard = await AGENTS[wire](running, stream=stream)
    assert heard == Heard(
        calls=[("Bash", {"command": "ls"}), ("Bash", {"command": "cat 'a file'"})],
        text="It is done, and here is what I did.",
        tokens=[(11, 7)] * 3,
    )


@every_wire
async def test_many_agents_play_one_script_at_once(provider: Serve, wire: Wire):
    running = provider([Turn(calls=[shell("ls")]), Turn(calls=[submit("It is done.")])])
    heard: list[Heard] = []

    async def work() -> None:
        heard.append(await AGENTS[wire](running, stream=True))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(work)
    assert [each.text for each in heard] == ["It is done."] * 5
    assert [len(each.calls) for each in heard] == [1] * 5


async def test_another_key_is_refused(provider: Serve):
    url = provider([Turn(text="Hello.")]).url
    async with anthropic.AsyncAnthropic(base_url=url, api_key="another", max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError):
            await client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "Do it."}])
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="another", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.responses.create(model="m", input="Do it.")


async def test_models_are_listed_for_either_sdk(fake: FakeProvider):
    async with anthropic.AsyncAnthropic(base_url=fake.url, api_key=fake.key) as client:
        assert [model.id async for model in client.models.list()] == ["fake-model"]
        counted = await client.messages.count_tokens(model="m", messages=[{"role": "user", "content": "Do it."}])
        assert counted.input_tokens == 100
    async with openai.AsyncOpenAI(base_url=f"{fake.url}/v1", api_key=fake.key) as client:
        assert [model.id async for model in client.models.list()] == ["fake-model"]
    assert fake.keys == [fake.key] * 3


@streamed_or_not
async def test_cached_tokens_are_told_as_each_wire_counts_them(stream: bool):
    tokens = Tokens(input=10, output=5, cache_read=200, cache_write=3000)
    with fake_provider(tokens=tokens) as fake:
        told = {wire: (await AGENTS[wire](fake, stream=stream)).tokens for wire in AGENTS}
    assert told == {"messages": [(10, 5)], "chat": [(3210, 5)], "responses": [(3210, 5)]}


@pytest.mark.parametrize(
    ("offered", "argument", "value"),
    [
        ("Bash", "command", "ls"),
        ("exec_command", "cmd", "ls"),
        ("shell", "command", ["sh", "-c", "ls"]),
        ("run", "command", "ls"),
    ],
)
async def test_a_command_goes_to_the_shell_that_is_offered(
    client: httpx2.AsyncClient, offered: str, argument: str, value: object
):
    asked = {**ASKED, "stream": False, "tools": tools("read", offered)}
    called = (await client.post("/v1/responses", json=asked)).json()["output"][-1]
    assert (called["name"], json.loads(called["arguments"])[argument]) == (offered, value)


async def test_a_script_without_an_end_never_ends(client: httpx2.AsyncClient):
    answered = [{"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}] * 100
    asked = {**ASKED, "stream": False, "messages": answered, "tools": tools("Bash")}
    assert (await client.post("/v1/messages", json=asked)).json()["stop_reason"] == "tool_use"


@every_wire
async def test_a_request_is_recorded(fake: FakeProvider, client: httpx2.AsyncClient, wire: Wire):
    await client.post(f"{PATHS[wire]}?beta=true", json=ASKED)
    (recorded,) = fake.requests
    assert (recorded.path, recorded.query, recorded.key) == (PATHS[wire], "beta=true", fake.key)
    assert (recorded.model, recorded.body) == ("a-model", ASKED)
    assert recorded.ended
    assert recorded.ended >= recorded.began
    assert (fake.most_open, fake.left) == (1, 0)
