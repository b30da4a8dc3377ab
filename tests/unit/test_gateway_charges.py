"""What cannot be had for nothing: answers that are left, what is not in a request, and very much at once."""

from collections.abc import Generator
from typing import Any

import anyio
import httpx2
import pytest
from any_wire import PATHS
from gateway_places import WIRES, Kind, Place, Places, error_of, places
from gateway_process import HTTP, NO_TLS, until

from agent_image.gateway.plan import Limits, Patience, Wire
from tests.providers.fake import fake_provider
from tests.providers.faults import BEFORE_HEAD, refused, silence_after
from tests.providers.script import Tokens, Turn

TOKENS = Kind(share=Limits(tokens=200))
NOTHING = Kind(share=Limits(calls=0))
LAST = Kind(share=Limits(calls=1))
ASKED = Tokens(input=50, output=20, cache_read=30, cache_write=10)


@pytest.fixture(scope="module")
def impatient() -> Generator[Places]:
    """Of a gateway that waits less long for an answer to go on."""
    kinds = [*[TOKENS] * 9, *[NOTHING] * 3, LAST]
    with (
        fake_provider([Turn(text="Yes.")], tokens=ASKED) as fake,
        places(fake, kinds, Patience(silence_s=4.0)) as running,
    ):
        yield running


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.param


async def leave(place: Place, wire: Wire, **fields: Any) -> None:
    """Ask for a stream, and leave when it has begun."""
    async with (
        httpx2.AsyncClient(verify=NO_TLS) as client,
        client.stream(
            "POST", place.url + PATHS[wire], json=place.body(wire, stream=True, **fields), headers=place.headers()
        ) as answer,
    ):
        await anext(answer.aiter_raw())


async def test_who_leaves_pays_what_the_answer_took_in_the_end(impatient: Places):
    place = impatient.take(TOKENS)
    for number in range(2):
        place.fail_next(silence_after(2))
        await leave(place, "chat")
        place.fake.release()
        until(lambda number=number: len(place.usages) == number + 1)
    assert [usage.output_tokens for usage in place.usages] == [ASKED.output] * 2
    assert place.failures == []
    answers = [await place.ask("chat") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 403]


async def test_who_leaves_an_answer_that_never_ends_pays_for_the_longest_it_allowed(impatient: Places):
    place = impatient.take(TOKENS)
    place.fail_next(silence_after(2))
    await leave(place, "responses", max_output_tokens=1000)
    answers = [await place.ask("responses") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 403]


async def test_a_last_call_that_came_to_nothing_is_given_back_once(impatient: Places):
    place = impatient.take(LAST)
    place.fail_next(refused(400), times=2)
    answers = [await place.ask("chat") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [400, 400, 403]
    message = error_of("chat", answers[-1])["message"]
    assert message.startswith("The budget of this work is spent (its share: 1 call), and the last call was made.")
    count = HTTP.post(place.url + "/v1/messages/count_tokens", headers=place.headers(), json=place.body("messages"))
    assert error_of("messages", count)["code"] == "llm.budget"


async def test_a_share_of_no_calls_is_none(impatient: Places, wire: Wire):
    place = impatient.take(NOTHING)
    answer = await place.ask(wire)
    assert (answer.status_code, error_of(wire, answer)["code"], place.seen) == (403, "llm.budget", [])


@pytest.mark.parametrize("field", ["previous_response_id", "conversation", "prompt"])
async def test_what_cannot_be_seen_in_a_request_is_refused_where_tokens_are_limited(impatient: Places, field: str):
    place = impatient.take(TOKENS)
    given: dict[str, Any] = {field: "x"}
    none: dict[str, Any] = {field: None}
    answer = await place.ask("responses", **given)
    assert (answer.status_code, error_of("responses", answer)["code"], place.seen) == (400, "llm.refused", [])
    assert (await place.ask("responses", **none)).status_code == 200


async def test_a_variation_has_so_many_calls_at_once(impatient: Places):
    place = impatient.take(TOKENS)
    place.fail_next(silence_after(BEFORE_HEAD))
    answers: list[httpx2.Response] = []

    async def ask() -> None:
        answers.append(await place.ask("chat"))
        if len(answers) == 1:  # all others wait for the one that is not answered yet
            await place.until_seen(1)
            place.fake.release()

    async with anyio.create_task_group() as tasks:
        for _ in range(9):
            tasks.start_soon(ask)
    refusal = answers[0]
    assert (refusal.status_code, error_of("chat", refusal)["code"]) == (429, "llm.rate_limited")
    assert "x-should-retry" not in refusal.headers
    assert [answer.status_code for answer in answers].count(429) == 1


@pytest.mark.parametrize("wire", ["chat", "responses"], indirect=True)
async def test_who_leaves_before_the_figures_come_pays_by_the_size_of_what_was_asked(impatient: Places, wire: Wire):
    place = impatient.take(TOKENS)
    place.fail_next(silence_after(2))
    await leave(place, wire, padding="x" * 900, max_tokens=None)
    await place.fake.until(lambda: place.seen[0].was_left)
    until(lambda: len(place.usages) == 1)
    answers = [await place.ask(wire) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 403]
