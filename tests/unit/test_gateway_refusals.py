"""What the gateway itself refuses, in the wire format of the caller, and what else can be asked of it."""

from collections.abc import Generator
from typing import Any

import msgspec
import pytest
from any_wire import PATHS
from gateway_places import PLAIN, WIRES, Place, Places, error_of, places
from gateway_process import HTTP, until

from agent_image.gateway.plan import Patience, Wire
from tests.providers.fake import fake_provider


@pytest.fixture(scope="module")
def all_places() -> Generator[Places]:
    with fake_provider() as fake, places(fake, [PLAIN] * 60, Patience()) as running:
        yield running


@pytest.fixture
def place(all_places: Places) -> Place:
    return all_places.take()


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.param


@pytest.mark.parametrize("presented", ["Bearer unknown", "Basic {token}", "{token}", ""])
async def test_who_has_no_token_is_refused_in_the_wire_format_of_the_caller(place: Place, wire: Wire, presented: str):
    headers = {"authorization": presented.format(token=place.token())}
    answer = HTTP.post(place.url + PATHS[wire], headers=headers, json=place.body(wire))
    assert (answer.status_code, error_of(wire, answer)["code"]) == (401, "llm.token")
    assert answer.headers["x-should-retry"] == "false"
    assert place.seen == []


async def test_a_model_not_allowed_is_refused_in_the_wire_format_of_the_caller(place: Place, wire: Wire):
    answer = await place.ask(wire, model="m-0")
    assert (answer.status_code, error_of(wire, answer)["code"]) == (403, "llm.model")
    assert answer.headers["x-should-retry"] == "false"
    message = error_of(wire, answer)["message"]
    assert f"m-{place.number} on /v1/messages;" in message
    assert f"o-{place.number} on /v1/chat/completions and /v1/responses." in message
    until(lambda: bool(place.failures))
    assert (place.failures[0].code, place.failures[0].model) == ("llm.model", "m-0")
    assert place.seen == []


async def test_a_model_is_asked_only_in_a_wire_format_of_its_provider(place: Place, wire: Wire):
    other = place.model("chat" if wire == "messages" else "messages")
    answer = await place.ask(wire, model=other)
    assert error_of(wire, answer)["code"] == "llm.model"
    assert place.seen == []


async def test_a_request_that_is_too_large_is_refused_in_the_wire_format_of_the_caller(place: Place, wire: Wire):
    body = msgspec.json.encode(place.body(wire, user="x" * 33 * 1024 * 1024))

    def chunks() -> Generator[bytes]:
        yield body

    for content in (body, chunks()):
        answer = HTTP.post(place.url + PATHS[wire], headers=place.headers(), content=content)
        assert (answer.status_code, error_of(wire, answer)["code"]) == (413, "llm.request_too_large")
    assert place.seen == []


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"model": 1}', b"\xff", b"[" * 100_000, b'{"model": "x'])
async def test_what_is_no_request_is_refused(place: Place, content: bytes):
    for wire in WIRES:
        answer = HTTP.post(place.url + PATHS[wire], headers=place.headers(), content=content)
        assert (answer.status_code, error_of(wire, answer)["code"]) == (400, "llm.refused")


@pytest.mark.parametrize("name", ["Model", "MODEL", "models", "fallbacks"])
async def test_one_model_is_asked_for_by_one_name(place: Place, wire: Wire, name: str):
    given: dict[str, Any] = {name: "m-0"}
    answer = await place.ask(wire, **given)
    assert (answer.status_code, error_of(wire, answer)["code"], place.seen) == (400, "llm.refused", [])


@pytest.mark.parametrize("other", [b'"model"', b'"mod\\u0065l"'])
async def test_a_provider_sees_no_other_model_than_the_one_that_was_judged(place: Place, wire: Wire, other: bytes):
    body = msgspec.json.encode(place.body(wire))
    body = b'{%b:"another", "n": %b,%b' % (other, b"1" * 1000, body[1:])
    HTTP.post(place.url + PATHS[wire], headers=place.headers(), content=body)
    assert [request.model for request in place.seen] == [place.model(wire)]


async def test_an_answer_in_the_background_whose_cost_nobody_would_know_is_refused(place: Place):
    answer = await place.ask("responses", background=True)
    assert (answer.status_code, error_of("responses", answer)["code"]) == (400, "llm.refused")
    assert place.seen == []


async def test_one_that_does_nothing_but_fail_does_not_fill_the_ledger(place: Place):
    for _ in range(250):
        HTTP.post(place.url + "/v1/messages", headers=place.headers(), content=b"")
    HTTP.post(place.url + "/v1/messages", headers=place.headers(1), content=b"")
    assert len(place.failures) == 201
    assert place.failures[-1].variation == place.variation(1)


async def test_models_are_those_of_the_token_in_the_format_of_whose_sdk_asks(place: Place):
    names = [place.model("messages"), place.model("chat")]
    of_openai = HTTP.get(place.url + "/v1/models", headers=place.headers()).json()
    headers = {"x-api-key": place.token(), "anthropic-version": "2023-06-01"}
    of_anthropic = HTTP.get(place.url + "/v1/models", headers=headers).json()
    assert [model["id"] for model in of_openai["data"]] == names
    assert [model["id"] for model in of_anthropic["data"]] == names
    assert (of_openai["object"], of_anthropic["last_id"]) == ("list", names[-1])


async def test_there_is_nothing_else(place: Place):
    assert HTTP.head(place.url + "/api/hello").status_code == 404
    assert HTTP.get(place.url + "/v1/messages", headers=place.headers()).status_code == 405
    assert HTTP.get(place.url + "/live").status_code == 200
