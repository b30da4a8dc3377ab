"""What a variation may use: up to its share, and then one last call, of which the model is told that it is the last."""

from collections.abc import Generator
from functools import partial
from typing import Any

import anyio
import httpx2
import pytest
from any_wire import PATHS
from gateway_places import PLAIN, WIRES, Kind, Places, Received, error_of, places
from gateway_process import HTTP, LIMIT_S, until

from agent_image.gateway.plan import Limits, Patience, Wire
from tests.providers.fake import fake_provider
from tests.providers.faults import BEFORE_HEAD, refused, silence_after
from tests.providers.script import Tokens, Turn

NOTICE = "The budget of this work is spent. This is your last call: finish what you have and submit."
CALLS = Kind(share=Limits(calls=3))
TOKENS = Kind(share=Limits(tokens=200))
USD = Kind(share=Limits(usd=0.0005))
LAST = Kind(share=Limits(calls=1))
SHORT = Kind(lifetime_s=1.0)
ASKED = Tokens(input=50, output=20, cache_read=30, cache_write=10)
"""110 tokens a call, for 0.000285 dollars: two of them are beyond either limit."""


@pytest.fixture(scope="module")
def all_places() -> Generator[Places]:
    kinds = [*[CALLS] * 6, *[TOKENS] * 6, *[USD] * 1, *[LAST] * 13, SHORT, *[PLAIN] * 8]
    with fake_provider([Turn(text="Yes.")], tokens=ASKED) as fake, places(fake, kinds, Patience()) as running:
        yield running


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.param


def said(wire: Wire, body: Any) -> str:
    """The last that the user says in a request, wherever the wire format has it."""
    last = body["input" if wire == "responses" else "messages"][-1]
    assert last["role"] == "user"
    content = last["content"]
    return content if isinstance(content, str) else content[-1]["text"]


async def test_after_the_share_there_is_one_last_call_with_a_notice(all_places: Places, wire: Wire):
    place = all_places.take(CALLS)
    answers = [await place.ask(wire, stream=bool(number % 2)) for number in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 403, 403]
    assert [error_of(wire, answer)["code"] for answer in answers[3:]] == ["llm.budget"] * 2
    assert [answer.headers["x-should-retry"] for answer in answers[3:]] == ["false"] * 2
    bodies = [request.body for request in place.seen]
    assert ["last call" in str(body) for body in bodies] == [False, False, True]
    assert said(wire, bodies[2]) == NOTICE
    until(lambda: len(place.failures) == 2)
    assert {failure.code for failure in place.failures} == {"llm.budget"}
    assert len(place.usages) == 3


async def test_of_calls_at_once_as_many_are_admitted_as_one_after_the_other(all_places: Places, wire: Wire):
    place = all_places.take(CALLS)
    answers: list[httpx2.Response] = []

    async def ask() -> None:
        answers.append(await place.ask(wire))

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(ask)
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [403] * 5
    assert len(place.seen) == 3


@pytest.mark.parametrize("kind", [TOKENS, USD])
async def test_what_calls_take_is_counted_whatever_kind_of_tokens_it_is(all_places: Places, kind: Kind):
    place = all_places.take(kind)
    answers = [await place.ask("messages") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 403]
    assert ["last call" in str(request.body) for request in place.seen] == [False, False, True]


async def test_one_variation_s_share_is_not_another_s(all_places: Places):
    place = all_places.take(TOKENS)
    for index in range(3):
        answers = [await place.ask("chat", index=index) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 403]


async def test_where_tokens_are_limited_calls_of_a_variation_take_turns(all_places: Places):
    place = all_places.take(TOKENS)
    await place.ask("messages")
    place.fail_next(silence_after(BEFORE_HEAD))
    answers: list[httpx2.Response] = []

    async def ask(index: int) -> None:
        answers.append(await place.ask("messages", index=index))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, 0)
        await place.until_seen(2)
        for _ in range(5):
            tasks.start_soon(ask, 0)
        await ask(1)  # another variation does not have to wait
        assert len(place.seen) == 3
        place.fake.release()
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [403] * 4
    assert len(place.seen) == 4


ONE_MESSAGE: list[Any] = [{"role": "user", "content": "Hi."}]
BLOCKS: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "Hi."}]}]
WORK: list[Any] = [
    *ONE_MESSAGE,
    {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "run", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "\0é\U0001f600"}]},
]
WORK_OF_OPENAI: list[Any] = [*ONE_MESSAGE, {"type": "function_call_output", "call_id": "1", "output": "x"}]


@pytest.mark.parametrize(
    ("wire", "given"),
    [
        ("messages", ONE_MESSAGE),
        ("messages", BLOCKS),
        ("messages", WORK),
        ("chat", ONE_MESSAGE),
        ("chat", [*ONE_MESSAGE, {"role": "assistant", "content": "Ho."}]),
        ("responses", "Hi."),
        ("responses", WORK_OF_OPENAI),
    ],
)
async def test_the_notice_is_added_and_nothing_else_is_changed(all_places: Places, wire: Wire, given: Any):
    place = all_places.take(LAST)
    name = "input" if wire == "responses" else "messages"
    body = place.body(wire, temperature=0.10, metadata={"n": 12345678901234567, "s": "é"}, **{name: given})
    HTTP.post(place.url + PATHS[wire], headers=place.headers(), json=body)
    (request,) = place.seen
    assert {**request.body, name: given} == body
    after = request.body[name]
    assert said(wire, request.body) == NOTICE
    if wire == "messages":
        content = given[-1]["content"]
        assert after[:-1] == given[:-1]
        assert after[-1]["content"][:-1] == ([{"type": "text", "text": content}] if content == "Hi." else content)
    else:
        assert after[:-1] == (ONE_MESSAGE if given == "Hi." else given)


async def test_a_prefilled_answer_stays_the_last_message(all_places: Places):
    place = all_places.take(LAST)
    prefilled = {"role": "assistant", "content": "{"}
    await place.ask("messages", messages=[{"role": "user", "content": "Hi."}, prefilled])
    first, last = place.seen[0].body["messages"]
    assert (first["content"][-1]["text"], last) == (NOTICE, prefilled)


@pytest.mark.parametrize("messages", [None, "Hi.", [1], [{"content": "x"}], [{"role": "user"}]])
async def test_a_last_call_that_has_no_place_for_a_notice_is_the_provider_s_to_judge(all_places: Places, messages: Any):
    place = all_places.take(LAST)
    place.fail_next(refused(400))
    assert (await place.ask("messages", messages=messages)).status_code == 400
    assert place.seen[0].body["messages"] == messages


async def test_a_retired_token_is_worth_nothing_and_its_calls_are_cut(all_places: Places):
    place = all_places.take()
    for wire in WIRES:
        await place.ask(wire)
    place.fail_next(silence_after(2), times=3)
    received = {wire: Received(b"", is_aborted=False) for wire in WIRES}

    async with anyio.create_task_group() as tasks:
        for wire in WIRES:
            tasks.start_soon(partial(place.ask_stream, wire, into=received[wire]))
        await place.fake.until(lambda: all(each.content for each in received.values()))
        assert place.gateway.control("POST", f"/control/retire/{place.variation()}").status_code == 204
    for wire in WIRES:
        assert received[wire].is_aborted is (wire != "responses")
        assert received[wire].error(wire)["code"] == "llm.token"
        answer = await place.ask(wire)
        assert (answer.status_code, error_of(wire, answer)["code"]) == (401, "llm.token")
    await place.fake.until(lambda: all(request.was_left for request in place.seen[3:]))
    assert HTTP.get(place.url + "/usage", headers=place.headers()).status_code == 401
    assert (await place.ask("chat", index=1)).status_code == 200
    assert place.gateway.control("POST", f"/control/retire/{place.variation()}").status_code == 204


async def test_a_retired_token_ends_a_call_that_has_no_answer_yet(all_places: Places, wire: Wire):
    place = all_places.take()
    place.fail_next(silence_after(BEFORE_HEAD))
    answers: list[httpx2.Response] = []

    async def ask() -> None:
        answers.append(await place.ask(wire))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await place.until_seen(1)
        place.gateway.control("POST", f"/control/retire/{place.variation()}")
    assert [error_of(wire, answer)["code"] for answer in answers] == ["llm.token"]
    await place.fake.until(lambda: place.seen[0].was_left)
    place.fake.release()


async def test_a_token_lives_for_its_time_from_the_first_call_on(all_places: Places):
    place = all_places.take(SHORT)
    assert HTTP.get(place.url + "/v1/models", headers=place.headers()).status_code == 200
    with anyio.fail_after(LIMIT_S):
        while (answer := await place.ask("chat")).status_code == 200:
            pass
    assert (answer.status_code, error_of("chat", answer)["code"]) == (401, "llm.token")
    assert (await place.ask("chat", index=1)).status_code == 200


@pytest.mark.parametrize(("method", "path"), [("GET", "/control/ledger"), ("POST", "/control/retire/0")])
async def test_control_is_for_who_runs_the_gateway(all_places: Places, method: str, path: str):
    place = all_places.take()
    assert place.gateway.control(method, path, token=place.token()).status_code == 401
    assert HTTP.request(method, place.url + path).status_code == 401
    assert (await place.ask("chat")).status_code == 200


async def test_the_ledger_has_all_that_was_printed(all_places: Places):
    place = all_places.take()
    await place.ask("messages")
    until(lambda: bool(place.usages))
    ledger = place.gateway.control("GET", "/control/ledger")
    assert ledger.content.splitlines(keepends=True) == place.gateway.lines
    assert place.gateway.control("POST", "/control/retire/123456").status_code == 404
