"""What an agent gets through the gateway is what it would get from the provider, whose figures are told."""

import re
from collections.abc import Generator
from typing import Any

import anyio
import httpx2
import pytest
from any_wire import PATHS
from gateway_places import PLAIN, WIRES, Kind, Place, Places, places
from gateway_process import CONTROL, HTTP, NO_TLS, gateway, until

from agent_image.gateway.plan import Grant, Patience, Plan, Provider, Wire
from tests.providers.fake import fake_provider
from tests.providers.faults import BEFORE_HEAD, Fault, refused, silence_after
from tests.providers.script import Tokens, Turn, shell

TOKENS = Tokens(input=100, output=20, cache_read=30, cache_write=4)
COST = (100 * 1.0 + 20 * 10.0 + 30 * 0.5 + 4 * 2.0) / 1e6
SCRIPT = [Turn(text="I shall look around first, and then we shall see.", thinking="Hm.", calls=[shell("ls")])]
UNPRICED = Kind(price=None)
KEYLESS = Kind(key_variable="")
BASE_URLS = ["{fake}/", "{fake}/v1", "{fake}/v1/"]


@pytest.fixture(scope="module")
def all_places() -> Generator[Places]:
    kinds = [*[PLAIN] * 80, UNPRICED, KEYLESS, *(Kind(base_url=url) for url in BASE_URLS)]
    with fake_provider(SCRIPT, tokens=TOKENS) as fake, places(fake, kinds, Patience()) as running:
        yield running


@pytest.fixture
def place(all_places: Places) -> Place:
    return all_places.take()


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.param


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_byte_for_byte_the_provider_s(place: Place, wire: Wire, stream: bool):
    asked = {"stream_options": {"include_usage": True}} if wire == "chat" and stream else {}
    body = place.body(wire, stream=stream, tools=[], **asked)
    direct = HTTP.post(place.fake.url + PATHS[wire], headers={"x-api-key": place.fake.key}, json=body)
    relayed = HTTP.post(place.url + PATHS[wire], headers=place.headers(), json=body)
    assert _timeless(relayed.content) == _timeless(direct.content)
    assert relayed.headers["content-type"] == direct.headers["content-type"]
    assert relayed.headers["request-id"] == "req_fake"
    first, second = place.seen
    assert (second.body, second.headers["content-length"]) == (first.body, first.headers["content-length"])


@pytest.mark.parametrize("stream", [False, True])
async def test_the_provider_s_figures_are_told_with_their_cost(place: Place, wire: Wire, stream: bool):
    await place.ask(wire, stream=stream, index=3)
    until(lambda: bool(place.usages))
    (usage,) = place.usages
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (
        TOKENS.input,
        TOKENS.output,
        TOKENS.cache_read,
        TOKENS.cache_write,
    )
    assert usage.cost_usd == pytest.approx(COST)
    assert (usage.variation, usage.model) == (place.variation(3), place.model(wire))
    assert usage.provider == f"{'anthropic' if wire == 'messages' else 'openai'}-{place.number}"


async def test_a_cost_is_unknown_where_the_price_is(all_places: Places):
    place = all_places.take(UNPRICED)
    await place.ask("messages")
    until(lambda: bool(place.usages))
    assert place.usages[0].cost_usd is None
    assert HTTP.get(place.url + "/usage", headers=place.headers()).json()["cost_usd"] is None


async def test_a_variation_can_read_what_it_has_used(place: Place):
    await place.ask("messages")
    await place.ask("chat", stream=True)
    await place.ask("responses", index=1)
    assert HTTP.get(place.url + "/usage", headers=place.headers()).json() == {
        "calls": 2,
        "input_tokens": 200,
        "output_tokens": 40,
        "cache_read_tokens": 60,
        "cache_write_tokens": 8,
        "cost_usd": pytest.approx(2 * COST),
    }


async def test_events_are_passed_on_while_the_provider_still_speaks(place: Place, wire: Wire):
    place.fail_next(silence_after(3))
    async with (
        httpx2.AsyncClient(verify=NO_TLS) as client,
        client.stream(
            "POST", place.url + PATHS[wire], headers=place.headers(), json=place.body(wire, stream=True)
        ) as answer,
    ):
        received = b""
        async for chunk in answer.aiter_bytes():
            received += chunk
            if received.count(b"\n\n") == 3:
                place.fake.release()
    assert received.count(b"\n\n") > 3


async def test_usage_that_a_caller_did_not_ask_for_is_kept_from_it(place: Place):
    hidden = await place.ask("chat", stream=True)
    refused = await place.ask("chat", stream=True, stream_options={"include_usage": False, "other": 1})
    shown = await place.ask("chat", stream=True, stream_options={"include_usage": True})
    assert [b'"choices": []' in answer.content for answer in (hidden, refused, shown)] == [False, False, True]
    assert all(answer.content.endswith(b"data: [DONE]\n\n") for answer in (hidden, refused, shown))
    assert [request.body["stream_options"] for request in place.seen] == [
        {"include_usage": True},
        {"include_usage": True, "other": 1},
        {"include_usage": True},
    ]


async def test_a_caller_that_leaves_ends_the_provider_s_work_and_pays_for_what_was_seen(place: Place):
    place.fail_next(silence_after(3))
    async with (
        httpx2.AsyncClient(verify=NO_TLS) as client,
        client.stream(
            "POST", place.url + "/v1/messages", headers=place.headers(), json=place.body("messages", stream=True)
        ) as answer,
    ):
        await anext(answer.aiter_bytes())
    await place.fake.until(lambda: place.seen[0].was_left)
    until(lambda: bool(place.usages))
    assert place.usages[0].input_tokens == TOKENS.input
    assert place.failures == []


async def test_a_caller_that_leaves_before_the_answer_ends_the_provider_s_work(place: Place, wire: Wire):
    place.fail_next(silence_after(BEFORE_HEAD))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(place.ask, wire)
        await place.until_seen(1)
        tasks.cancel_scope.cancel()
    await place.fake.until(lambda: place.seen[0].was_left)
    assert (await place.ask(wire)).status_code == 200


@pytest.mark.parametrize("kind", [Kind(base_url=url) for url in BASE_URLS])
async def test_a_base_url_may_end_as_providers_write_it(all_places: Places, kind: Kind):
    place = all_places.take(kind)
    answers = [await place.ask(wire) for wire in WIRES]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [request.path for request in place.seen] == [PATHS[wire] for wire in WIRES]


async def test_headers_and_query_are_passed_on_but_for_what_is_not_the_agent_s_to_say(place: Place, wire: Wire):
    passed_on = {"anthropic-version": "2023-06-01", "anthropic-beta": "one", "user-agent": "agent/1"}
    kept = {
        "x-codex-turn-metadata": "https://git.test/private",
        "cookie": "a=b",
        "openai-organization": "another",
        "connection": "keep-alive, x-hop",
        "x-hop": "1",
        "x-forwarded-for": "10.0.0.1",
        "accept-encoding": "gzip",
    }
    async with httpx2.AsyncClient(verify=NO_TLS) as client:
        await client.post(
            place.url + PATHS[wire] + "?beta=true&x=%20",
            headers={**passed_on, **kept, "x-api-key": place.token(), "authorization": "Bearer unknown"},
            json=place.body(wire),
        )
    (request,) = place.seen
    assert request.query == "beta=true&x=%20"
    assert {**request.headers, **passed_on} == request.headers
    assert not (kept.keys() - {"connection", "accept-encoding"}) & request.headers.keys()
    assert request.headers["accept-encoding"] == "identity"
    key_header = {"x-api-key": "fake-key"} if wire == "messages" else {"authorization": "Bearer fake-key"}
    presented = {name: request.headers[name] for name in ("x-api-key", "authorization") if name in request.headers}
    assert presented == key_header


async def test_a_provider_that_wants_no_key_gets_none(all_places: Places):
    place = all_places.take(KEYLESS)
    answers = [await place.ask(wire) for wire in WIRES]
    assert {answer.status_code for answer in answers} == {401}  # the fake does want one
    assert [request.key for request in place.seen] == ["", ""]


async def test_tokens_are_counted_for_nothing(place: Place):
    body = place.body("messages")
    answer = HTTP.post(place.url + "/v1/messages/count_tokens", headers=place.headers(), json=body)
    assert answer.json() == {"input_tokens": 100}
    await place.ask("messages")
    until(lambda: bool(place.usages))
    assert len(place.usages) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 422])
async def test_what_a_provider_finds_wrong_with_a_request_is_for_the_agent_to_read(
    place: Place, wire: Wire, status: int
):
    place.fail_next(refused(status, "invalid_request_error", retry_after="7", x_ratelimit_remaining="3"))
    answer = await place.ask(wire, stream=True)
    assert answer.status_code == status
    assert answer.json()["error"]["message"] == "the fake fails on request"
    assert (answer.headers["retry-after"], answer.headers["x-ratelimit-remaining"]) == ("7", "3")
    until(lambda: bool(place.failures))
    name = f"{'anthropic' if wire == 'messages' else 'openai'}-{place.number}"
    reason = f"The provider {name} refused the call ({status}): the fake fails on request"
    assert (place.failures[0].code, place.failures[0].reason) == ("llm.refused", reason)
    assert len(place.seen) == 1
    assert place.usages == []


async def test_a_key_that_a_provider_repeats_goes_no_further(place: Place, wire: Wire):
    place.fail_next(Fault(status=400, body='{"error": {"message": "fake-key is a bad key"}}'))
    answer = await place.ask(wire)
    assert answer.json() == {"error": {"message": "*** is a bad key"}}
    place.fail_next(Fault(then="error", after=1, message="fake-key is a bad key"))
    assert b"*** is a bad key" in (await place.ask_stream(wire)).content
    until(lambda: len(place.failures) == 2)
    assert "fake-key" not in str(place.failures)


async def test_what_a_plan_says_is_sent_with_every_call_and_told_of_the_key(place: Place):
    providers = [
        Provider(
            name="one",
            wire="chat",
            base_url=place.fake.url,
            key_variable="WRONG_KEY",
            headers={"host": "provider.test", "x-own": "1"},
            key_name="ONE_API_KEY",
        )
    ]
    grant = Grant(token="t", variation=0, models={"one-model": "one"}, lifetime_s=1000.0)
    with gateway(Plan(control_token=CONTROL, providers=providers, grants=[grant])) as running:
        headers = {"authorization": "Bearer t", "x-own": "2"}
        answer = HTTP.post(running.url + PATHS["chat"], headers=headers, json={"model": "one-model"})
    (request,) = [each for each in place.fake.requests if each.model == "one-model"]
    assert (request.headers["host"], request.headers["x-own"]) == ("provider.test", "1")
    reason = "The provider one refused the key (ONE_API_KEY). Put the right one there and start again."
    assert answer.json()["error"]["message"] == f"{reason} (llm.auth)"


def _timeless(content: bytes) -> Any:
    return re.sub(rb'("created(?:_at)?": ?)\d+', rb"\g<1>0", content)
