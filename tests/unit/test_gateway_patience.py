"""Providers that limit, fail, hang or refuse: what is tried again, how often, and what an agent is told in the end."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import httpx2
import pytest
from gateway_places import PLAIN, VARIATIONS, WIRES, Kind, Place, Places, error_of, places
from gateway_process import LIMIT_S, until

from agent_image.gateway.plan import Patience, Wire
from tests.providers.fake import fake_provider
from tests.providers.faults import (
    BEFORE_HEAD,
    Fault,
    cut_after,
    refused,
    silence_after,
    spend_limit,
)
from tests.providers.script import Tokens, Turn

PATIENCE = Patience(
    retries=3, first_backoff_s=0.01, longest_backoff_s=0.05, longest_wait_s=3.0, connect_s=10.0, silence_s=LIMIT_S
)
WRONG_KEY = Kind(key_variable="WRONG_KEY")
NOBODY_THERE = Kind(base_url="http://127.0.0.1:1")
NO_NAME = Kind(base_url="http://nowhere.invalid")
SCRIPT = [Turn(text="I shall look around first, and then we shall see.")]
TOKENS = Tokens(input=100, output=20)
OVERLOADED = [503, 529]
FAILED = [408, 409, 500, 502, 504, 520]


@pytest.fixture(scope="module")
def all_places() -> Generator[Places]:
    kinds = [*[PLAIN] * 80, *[WRONG_KEY] * 3, NOBODY_THERE, NO_NAME]
    with fake_provider(SCRIPT, tokens=TOKENS) as fake, places(fake, kinds, PATIENCE) as running:
        yield running


@pytest.fixture
def place(all_places: Places) -> Place:
    return all_places.take()


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.param


def http_date(in_s: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=in_s), usegmt=True)


@pytest.mark.parametrize(
    "asked", ["1", "0.2", "date", "ms", "", "soon", "-3", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"]
)
async def test_a_provider_that_limits_its_calls_gets_the_time_that_it_asks_for(place: Place, asked: str):
    headers = {"date": {"retry_after": http_date(2)}, "ms": {"retry_after_ms": "200"}, "": {}}
    place.fail_next(refused(429, **headers.get(asked, {"retry_after": asked})))
    answer = await place.ask("messages", stream=True)
    assert answer.status_code == 200
    (wait,) = place.waits
    first, second = place.seen
    assert second.began - first.began >= wait.for_s
    assert wait.until
    assert "limits the rate" in wait.reason
    least, most = {"1": (1, 1), "0.2": (0.2, 0.2), "date": (0.01, 2), "ms": (0.2, 0.2)}.get(asked, (0.01, 0.01))
    assert least <= wait.for_s <= most
    assert place.failures == []


@pytest.mark.parametrize("status", [429, *OVERLOADED])
async def test_all_variations_wait_together_and_one_event_tells_it(place: Place, wire: Wire, status: int):
    await place.ask(wire)
    place.fail_next(Fault(status=status, then="silence", after=BEFORE_HEAD), times=VARIATIONS)
    answers: list[httpx2.Response] = []
    async with anyio.create_task_group() as tasks:

        async def ask_all() -> None:
            answers.extend(await place.ask_all(wire, stream=True))

        tasks.start_soon(ask_all)
        await place.until_seen(1 + VARIATIONS)
        place.fake.release()
    assert {answer.status_code for answer in answers} == {200}
    assert len(place.waits) == 1
    assert len(place.seen) == 1 + 2 * VARIATIONS


async def test_the_first_call_goes_alone_until_the_provider_has_answered(place: Place, wire: Wire):
    place.fail_next(refused(429, retry_after="0.3"))
    answers = await place.ask_all(wire, stream=True)
    assert {answer.status_code for answer in answers} == {200}
    assert len(place.waits) == 1
    assert len(place.seen) == 1 + VARIATIONS


async def test_a_call_goes_alone_only_until_the_head_of_its_answer_is_there(place: Place):
    place.fail_next(silence_after(2))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(place.ask_stream, "messages")
        await place.until_seen(1)
        assert (await place.ask("messages", index=1)).status_code == 200
        place.fake.release()


@pytest.mark.parametrize("asked", ["3600", "date"])
async def test_a_provider_that_asks_for_more_time_than_there_is_is_taken_to_refuse(
    place: Place, wire: Wire, asked: str
):
    place.fail_next(refused(429, retry_after=http_date(3600) if asked == "date" else asked))
    answers = await place.ask_all(wire)
    assert {answer.status_code for answer in answers} == {429}
    assert {error_of(wire, answer)["code"] for answer in answers} == {"llm.rate_limited"}
    assert {answer.headers["x-should-retry"] for answer in answers} == {"false"}
    assert "more than the longest wait that is allowed here, 3 s." in error_of(wire, answers[0])["message"]
    assert (len(place.seen), place.waits) == (1, [])
    until(lambda: len(place.failures) == VARIATIONS)
    assert {failure.code for failure in place.failures} == {"llm.rate_limited"}


async def test_patience_with_a_provider_that_always_limits_has_an_end(place: Place):
    place.fail_next(refused(429, retry_after="1.2"), times=None)
    answer = await place.ask("chat")
    assert error_of("chat", answer)["code"] == "llm.rate_limited"
    assert len(place.seen) == 3


@pytest.mark.parametrize("status", [*OVERLOADED, *FAILED])
async def test_what_a_provider_fails_is_tried_again(place: Place, status: int):
    place.fail_next(refused(status), times=PATIENCE.retries)
    answer = await place.ask("responses", stream=True)
    assert answer.status_code == 200
    assert len(place.seen) == PATIENCE.retries + 1
    assert len(place.waits) == PATIENCE.retries
    assert ["tried again" in wait.reason for wait in place.waits] == [status not in OVERLOADED] * PATIENCE.retries


@pytest.mark.parametrize("fault", [*map(refused, [*OVERLOADED, *FAILED]), cut_after(BEFORE_HEAD)])
async def test_a_provider_that_always_fails_is_unavailable(place: Place, fault: Fault):
    place.fail_next(fault, times=None)
    answer = await place.ask("messages", stream=True)
    assert (answer.status_code, error_of("messages", answer)["code"]) == (503, "llm.unavailable")
    assert answer.headers["x-should-retry"] == "false"
    assert len(place.seen) == PATIENCE.retries + 1
    until(lambda: bool(place.failures))
    assert [failure.code for failure in place.failures] == ["llm.unavailable"]
    assert place.usages == []


@pytest.mark.parametrize("status", [429, *OVERLOADED, *FAILED])
async def test_a_provider_that_says_that_another_try_is_no_use_gets_none(place: Place, status: int):
    place.fail_next(refused(status, x_should_retry="false"))
    answer = await place.ask("chat", stream=True)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (status, "false")
    assert answer.json()["error"]["message"] == "the fake fails on request"
    assert (len(place.seen), place.waits) == (1, [])


async def test_a_provider_that_gives_no_answer_is_asked_again(place: Place, wire: Wire):
    place.fail_next(cut_after(BEFORE_HEAD))
    assert (await place.ask(wire)).status_code == 200


@pytest.mark.parametrize("kind", [NOBODY_THERE, NO_NAME])
async def test_a_provider_that_is_not_there_is_unavailable(all_places: Places, kind: Kind):
    place = all_places.take(kind)
    answer = await place.ask("responses")
    error = error_of("responses", answer)
    assert (answer.status_code, error["code"]) == (503, "llm.unavailable")
    assert f"cannot be reached at {kind.base_url} (" in error["message"]
    assert "): is it running? It was tried 4 times." in error["message"]


async def test_a_provider_that_is_elsewhere_refuses(place: Place, wire: Wire):
    place.fail_next(refused(307))
    answer = await place.ask(wire)
    assert (answer.status_code, error_of(wire, answer)["code"], len(place.seen)) == (400, "llm.refused", 1)


async def test_an_error_that_cannot_be_read_is_known_by_its_status(place: Place, wire: Wire):
    place.fail_next(refused(404, content_encoding="gzip"))
    answer = await place.ask(wire)
    assert (answer.status_code, error_of(wire, answer)["code"], len(place.seen)) == (404, "llm.refused", 1)


async def test_a_wrong_key_is_asked_with_once(all_places: Places, wire: Wire):
    place = all_places.take(WRONG_KEY)
    answers = await place.ask_all(wire)
    answers.append(await place.ask(wire, stream=True))
    assert {answer.status_code for answer in answers} == {401}
    assert {error_of(wire, answer)["code"] for answer in answers} == {"llm.auth"}
    assert {answer.headers["x-should-retry"] for answer in answers} == {"false"}
    assert len(place.seen) == 1
    until(lambda: len(place.failures) == len(answers))
    assert {failure.code for failure in place.failures} == {"llm.auth"}


@pytest.mark.parametrize(
    ("wire", "fault"),
    [
        ("messages", spend_limit("messages")),
        ("chat", spend_limit("chat")),
        ("responses", spend_limit("responses")),
        ("chat", refused(429, "billing_hard_limit_reached")),
        ("messages", Fault(status=400, message="Your credit balance is too low to access this.")),
        ("messages", refused(402)),
    ],
)
async def test_an_account_that_may_spend_no_more_is_never_asked_again(place: Place, wire: Wire, fault: Fault):
    place.fail_next(fault, times=None)
    answers = await place.ask_all(wire)
    assert {answer.status_code for answer in answers} == {403}
    assert {error_of(wire, answer)["code"] for answer in answers} == {"llm.spend_limit"}
    assert (len(place.seen), place.waits) == (1, [])


async def test_text_that_names_a_spend_limit_stops_nobody(place: Place):
    refusals: list[tuple[Wire, str]] = [
        ("chat", "what does insufficient_quota mean?"),
        ("chat", "Your credit balance is too low"),
        ("messages", "no tool is named 'Your credit balance is too low'"),
    ]
    for wire, message in refusals:
        place.fail_next(Fault(status=400, message=message))
        assert (await place.ask(wire)).status_code == 400
        place.fake.heal()
        assert (await place.ask(wire)).status_code == 200
