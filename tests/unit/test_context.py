from collections.abc import Iterator

import pytest

from agent_image.context import shortened
from agent_image.model import Message, Told, ToolAnswer, ToolCall, Turn

ROOM = 50_000
PROMPT = Told("do it " * 500)


def steps(number: int, size: int = 2000) -> Iterator[list[Message]]:
    """A conversation after each step, as an agent sends it."""
    conversation: list[Message] = [PROMPT]
    for step in range(number):
        conversation += [
            Turn("I look", (ToolCall(f"{step}", "run", "{}"),)),
            ToolAnswer(call=f"{step}", ok=True, text=f"begin {step} ".ljust(size - 10, "x") + "the end"),
        ]
        yield list(conversation)


def size(conversation: list[Message]) -> int:
    return sum(len(message.said if isinstance(message, Turn) else message.text) for message in conversation)


def test_a_conversation_that_fits_is_left_as_it_is():
    for conversation in steps(20):
        assert list(shortened(conversation, ROOM)) == conversation


def test_a_long_conversation_is_shortened_where_old_tools_answered_and_nowhere_else():
    *_, conversation = steps(60)
    shown = list(shortened(conversation, ROOM))
    assert size(shown) <= ROOM
    assert (shown[0], shown[-8:]) == (PROMPT, conversation[-8:])
    changed = [(old, new) for old, new in zip(conversation, shown, strict=True) if old != new]
    assert changed
    for old, new in changed:
        assert isinstance(old, ToolAnswer)
        assert isinstance(new, ToolAnswer)
        assert (new.call, new.ok) == (old.call, old.ok)
        assert new.text.startswith(old.text[:100])
        assert new.text.endswith("the end")
        assert f"{len(old.text) - 400} characters left out" in new.text


def test_what_was_shown_stays_the_same_but_for_a_few_big_steps():
    before: list[Message] = []
    changes = 0
    for conversation in steps(60):
        shown = list(shortened(conversation, ROOM))
        changes += shown[: len(before)] != before
        assert size(shown) <= ROOM
        before = shown
    assert 0 < changes <= 60 * 2000 // (ROOM // 2)


def test_short_answers_are_not_worth_shortening():
    *_, conversation = steps(200, size=500)
    assert list(shortened(conversation, ROOM)) == conversation


@pytest.mark.parametrize("room", [0, 1, 1000])
def test_recent_messages_stay_whole_however_little_room_there_is(room: int):
    *_, conversation = steps(10)
    assert list(shortened(conversation, room))[-8:] == conversation[-8:]


def test_what_a_provider_is_shown_of_a_turn_takes_room():
    thought = {"type": "reasoning", "encrypted_content": "x" * ROOM}
    answer = ToolAnswer(call="1", ok=True, text="x" * 2000)
    conversation = [PROMPT, Turn(calls=(ToolCall("1", "run", "{}"),), raw=(thought,)), answer, *[PROMPT] * 8]
    assert shortened(conversation, ROOM)[2] != answer
