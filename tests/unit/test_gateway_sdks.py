"""Real SDKs take the gateway for a provider, over either fake one, and understand what it refuses."""

from functools import partial

import anthropic
import openai
import pytest
from anthropic import AsyncAnthropic
from gateway_process import CONTROL, GatewayProcess, gateway, until
from openai import AsyncOpenAI

from agent_image.events import CallFailed, Usage
from agent_image.gateway.plan import Grant, Limits, Plan, Provider, Wire
from tests.providers.fake import fake_provider
from tests.providers.provider import Serve
from tests.providers.script import Tokens, Turn, call
from tests.providers.sdk_agents import AGENTS

pytest_plugins = ["tests.providers.fixture"]

MODEL = "a-model"
SCRIPT = [Turn(calls=[call("run", command="ls")]), Turn(text="Done.")]


class Front:
    """The gateway in a provider's place."""

    key = "token-0"

    def __init__(self, running: GatewayProcess) -> None:
        self.url = running.url
        self.port = int(running.address.rpartition(":")[2])


def plan_for(url: str, wire: Wire, share: Limits) -> Plan:
    return Plan(
        control_token=CONTROL,
        providers=[Provider(name="fake", wire=wire, base_url=url, key_variable="GOOD_KEY")],
        grants=[Grant(token="token-0", variation=0, models={MODEL: "fake"}, share=share, lifetime_s=1000.0)],
    )


@pytest.mark.parametrize("wires", [["messages"], ["chat", "responses"]])
async def test_an_agent_works_through_it_as_without_it(provider: Serve, wires: list[Wire]):
    """In each wire format, streaming and not."""
    behind = provider(SCRIPT, tokens=Tokens(input=100, output=20))
    with gateway(plan_for(behind.url, wires[0], Limits())) as running:
        for wire in wires:
            for stream in (False, True):
                direct = await AGENTS[wire](behind, stream=stream)
                assert direct.calls
                assert await AGENTS[wire](Front(running), stream=stream) == direct
    used = [(usage.input_tokens, usage.output_tokens) for usage in running.all(Usage)]
    assert used == [(100, 20)] * 4 * len(wires)


async def test_anthropic_s_sdk_sees_why_it_is_refused_and_does_not_try_again():
    with (
        fake_provider() as fake,
        gateway(plan_for(fake.url, "messages", Limits(calls=1))) as running,
    ):
        async with AsyncAnthropic(base_url=running.url, api_key="token-0", max_retries=5) as client:
            assert [model.id async for model in client.models.list()] == [MODEL]
            ask = partial(client.messages.create, model=MODEL, max_tokens=9)
            await ask(messages=[{"role": "user", "content": "Hi."}])
            with pytest.raises(anthropic.PermissionDeniedError, match="the last call was made"):
                await ask(messages=[{"role": "user", "content": "Hi."}])
        until(lambda: bool(running.all(CallFailed)))
        assert [failed.code for failed in running.all(CallFailed)] == ["llm.budget"]


async def test_openai_s_sdk_sees_why_it_is_refused_and_does_not_try_again():
    with (
        fake_provider() as fake,
        gateway(plan_for(fake.url, "responses", Limits(calls=1))) as running,
    ):
        async with AsyncOpenAI(base_url=f"{running.url}/v1", api_key="token-0", max_retries=5) as client:
            assert [model.id async for model in client.models.list()] == [MODEL]
            await client.responses.create(model=MODEL, input="Hi.")
            with pytest.raises(openai.PermissionDeniedError, match="the last call was made") as refused:
                await client.responses.create(model=MODEL, input="Hi.")
        assert refused.value.code == "llm.budget"
        until(lambda: bool(running.all(CallFailed)))
        assert [failed.code for failed in running.all(CallFailed)] == ["llm.budget"]
