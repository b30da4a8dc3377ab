"""Answers that go wrong after they have begun: the caller is told in the stream itself, and the figures still count."""

from collections.abc import Generator
from typing import Any

import anyio
import pytest
from gateway_places import PLAIN, WIRES, Place, Places, error_of, places
from gateway_process import until

from agent_image.gateway.plan import Patience, Wire
from tests.providers.fake import fake_provider
from tests.providers.faults import BEFORE_HEAD, Fault, cut_after, end_after, error_after, huge, silence_after, slow
from tests.providers.script import Tokens, Turn

SCRIPT = [Turn(text="I shall look around first, and then we shall see.")]
TOKENS = Tokens(input=100, output=20)
TIRED = Patience(retries=0, silence_s=4.0, call_s=6.0, longest_backoff_s=0.01)


@pytest.fixture(scope="module")
def all_places() -> Generator[Places]:
    with fake_provider(SCRIPT, tokens=TOKENS) as fake, places(fake, [PLAIN] * 60, Patience()) as running:
        yield running


@pytest.fixture
def place(all_places: Places) -> Place:
    return all_places.take()


@pytest.fixture
def all_tired() -> Generator[Places]:
    """Of a gateway that has hardly any patience."""
    with fake_provider(SCRIPT, tokens=TOKENS) as fake, places(fake, [PLAIN] * 5, TIRED) as running:
        yield running


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.param


async def test_a_provider_s_error_in_mid_stream_is_passed_on_as_it_is(place: Place, wire: Wire):
    place.fail_next(error_after(3, "overloaded_error"))
    answer = await place.ask(wire, stream=True)
    assert b"the fake fails on request" in answer.content
    assert b"llm." not in answer.content
    until(lambda: bool(place.failures))
    assert [failure.code for failure in place.failures] == ["llm.failed"]
    assert len(place.usages) == len(place.seen) == 1


@pytest.mark.parametrize("events", range(6))
@pytest.mark.parametrize("how", [cut_after, end_after])
async def test_a_stream_without_its_last_event_is_found_truncated(place: Place, wire: Wire, how: Any, events: int):
    place.fail_next(how(events))
    received = await place.ask_stream(wire)
    assert received.is_aborted is (wire != "responses")
    assert received.error(wire)["code"] == "llm.truncated"
    until(lambda: bool(place.failures))
    assert [failure.code for failure in place.failures] == ["llm.truncated"]
    assert place.usages[0].input_tokens == (100 if wire == "messages" and events else 0)
    assert len(place.seen) == 1


@pytest.mark.parametrize("how", [cut_after, silence_after])
async def test_a_stream_is_whole_with_its_last_event_however_it_goes_on(place: Place, wire: Wire, how: Any):
    whole = await place.ask_stream(wire)
    place.fail_next(how(whole.content.count(b"\n\n") + (wire == "chat")))
    received = await place.ask_stream(wire)
    assert not received.is_aborted
    assert received.content.count(b"\n\n") == whole.content.count(b"\n\n")
    until(lambda: len(place.usages) == 2)
    assert place.failures == []


@pytest.mark.parametrize("how", [cut_after, end_after])
async def test_an_answer_that_breaks_off_is_no_answer(place: Place, wire: Wire, how: Any):
    place.fail_next(how(0))
    answer = await place.ask(wire)
    assert (answer.status_code, error_of(wire, answer)["code"]) == (502, "llm.truncated")
    assert "x-should-retry" not in answer.headers


async def test_silence_and_slowness_have_an_end(all_tired: Places):
    """All of them at once, for each takes its time."""
    async with anyio.create_task_group() as tasks:
        for wire in WIRES:
            tasks.start_soon(_is_cut, all_tired.take(), wire, silence_after(3))
        tasks.start_soon(_is_cut, all_tired.take(), "messages", slow(1.2))
        tasks.start_soon(_is_unanswered, all_tired.take())


async def test_an_answer_that_is_too_large_is_cut(place: Place, wire: Wire):
    place.fail_next(huge(17 * 1024 * 1024), times=2)
    received = await place.ask_stream(wire)
    assert received.is_aborted is (wire != "responses")
    assert received.error(wire)["code"] == "llm.too_large"
    answer = await place.ask(wire)
    assert (answer.status_code, error_of(wire, answer)["code"]) == (502, "llm.too_large")
    until(lambda: len(place.failures) == 2)


async def _is_cut(place: Place, wire: Wire, fault: Fault) -> None:
    place.fail_next(fault)
    received = await place.ask_stream(wire)
    assert received.is_aborted is (wire != "responses")
    assert received.error(wire)["code"] == "llm.silent"
    await place.fake.until(lambda: place.seen[0].was_left)
    until(lambda: [failure.code for failure in place.failures] == ["llm.silent"])


async def _is_unanswered(place: Place) -> None:
    place.fail_next(silence_after(BEFORE_HEAD))
    answer = await place.ask("chat", stream=True)
    assert error_of("chat", answer)["code"] == "llm.unavailable"
