from collections.abc import Sequence
from pathlib import Path

import pytest
from toolboxes import Bench, bench

from agent_image.events import Event, Outcome, Said, ToolCalled, ToolReturned, Usage, Waiting
from agent_image.loop import Loop
from agent_image.model import (
    BrokenTurnError,
    Conversation,
    Message,
    ModelError,
    Tokens,
    Told,
    ToolAnswer,
    ToolCall,
    Turn,
)
from agent_image.output import Limits
from agent_image.result import Ended
from agent_image.speech import Speech


class WrittenModel:
    """Takes the turns it was given, says them in pieces as a provider streams, and keeps what it was shown.

    Instead of a turn there may be an error, which breaks off what it was saying.
    """

    def __init__(self, turns: Sequence[Turn | ModelError]) -> None:
        self._turns = iter(turns)
        self.shown: list[Message] = []
        self.asked = 0

    async def ask(self, conversation: Conversation, speech: Speech) -> Turn:
        self.shown = list(conversation)
        self.asked += 1
        turn = next(self._turns, None)
        if turn is None:
            raise ModelError("the model is out of turns", "llm.refused")
        if isinstance(turn, ModelError):
            speech.text("I was about to")
            raise turn
        for word in turn.said.split():
            speech.text(word)
        return turn


def call(tool: str, arguments: str = "{}", name: str = "c") -> ToolCall:
    return ToolCall(name, tool, arguments)


SUBMIT = Turn(calls=(call("submit"),))
WRITE = call("write", '{"path": "a", "content": "x"}')


async def work(
    directory: Path, *turns: Turn | ModelError, max_steps: int = 5, limits: Limits | None = None, room: int = 100_000
) -> tuple[Ended, WrittenModel, list[Event]]:
    model = WrittenModel(turns)
    (directory / "workspace").mkdir()
    at: Bench
    async with bench(directory / "workspace", directory / "log", limits) as at:
        loop = Loop(
            model=model,
            model_name="m",
            toolbox=at.toolbox,
            emitter=at.emitter,
            max_steps=max_steps,
            room=room,
            pauses_s=(0, 0, 0),
        )
        ended = await loop.work("do it")
    return ended, model, at.events


async def test_a_model_works_until_it_submits(tmp_path: Path):
    ended, _, events = await work(tmp_path, Turn("I write it", (WRITE,)), SUBMIT)
    assert ended == Ended(Outcome.SUBMITTED)
    assert (tmp_path / "workspace/a").read_text() == "x"
    assert [type(event) for event in events] == [Said, ToolCalled, ToolReturned, ToolCalled, ToolReturned]


async def test_a_model_is_shown_all_that_came_before(tmp_path: Path):
    turn = Turn("both", (call("fly", name="1"), call("read", '{"path": "a"}', name="2")))
    _, model, _ = await work(tmp_path, turn, SUBMIT)
    assert model.shown[:2] == [Told("do it"), turn]
    answers = [message for message in model.shown if isinstance(message, ToolAnswer)]
    assert [(answer.call, answer.ok) for answer in answers] == [("1", False), ("2", False)]


async def test_calls_after_submit_are_not_made(tmp_path: Path):
    ended, _, _ = await work(tmp_path, Turn(calls=(call("submit"), WRITE)))
    assert ended.outcome is Outcome.SUBMITTED
    assert not (tmp_path / "workspace/a").exists()


async def test_a_model_that_calls_nothing_is_told_once_and_then_has_given_up(tmp_path: Path):
    ended, model, _ = await work(tmp_path, Turn("hm"), Turn("hm", (WRITE,)), Turn("hm"), Turn("hm"), SUBMIT)
    assert ended == Ended(Outcome.GAVE_UP, "the model called no tool, twice in a row")
    assert [isinstance(message, Told) for message in model.shown].count(True) == 3


async def test_a_model_that_never_submits_has_given_up(tmp_path: Path):
    ended, _, events = await work(tmp_path, *[Turn(calls=(WRITE,))] * 10, max_steps=3)
    assert ended == Ended(Outcome.GAVE_UP, "the model did not submit within 3 steps")
    assert sum(isinstance(event, ToolCalled) for event in events) == 3


async def test_a_model_whose_commands_have_printed_all_that_they_may_has_given_up(tmp_path: Path):
    flood = Turn(calls=(call("run", '{"command": "yes | head -c 20000"}'),))
    limits = Limits(live=4_000, tail=4_000, total=10_000, per_line=0)
    ended, _, events = await work(tmp_path, *[flood] * 5, limits=limits)
    assert ended == Ended(Outcome.GAVE_UP, "its commands have printed all that they may")
    assert sum(isinstance(event, ToolCalled) for event in events) == 2


async def test_a_model_that_cannot_go_on_has_given_up_with_its_reason(tmp_path: Path):
    ended, _, _ = await work(tmp_path)
    assert ended == Ended(Outcome.GAVE_UP, "the model is out of turns", "llm.refused")


async def test_what_a_turn_took_is_told(tmp_path: Path):
    tokens = Tokens(input=1, output=2, cache_read=3, cache_write=4, cost_usd=0.5)
    _, _, events = await work(tmp_path, Turn("", SUBMIT.calls, tokens))
    usage = next(event for event in events if isinstance(event, Usage))
    assert (usage.model, usage.input_tokens, usage.output_tokens) == ("m", 1, 2)
    assert (usage.cache_read_tokens, usage.cache_write_tokens, usage.cost_usd) == (3, 4, 0.5)


@pytest.mark.parametrize("size", [10, 1_000_000])
async def test_names_that_a_model_makes_up_fit_a_line(tmp_path: Path, size: int):
    ended, _, events = await work(tmp_path, Turn(calls=(ToolCall("😀" * size, "é" * size, "x" * size),)), SUBMIT)
    assert ended.outcome is Outcome.SUBMITTED
    called = [event for event in events if isinstance(event, ToolCalled)]
    assert "".join(event.text for event in called[:-1]) == "x" * size


async def test_calls_have_names_of_their_own_in_the_log_whatever_the_model_calls_them(tmp_path: Path):
    _, _, events = await work(tmp_path, Turn(calls=(WRITE, WRITE)), Turn(calls=(WRITE,)), SUBMIT)
    called = [event.call for event in events if isinstance(event, ToolCalled)]
    assert len(set(called)) == 4
    assert called == [event.call for event in events if isinstance(event, ToolReturned)]


async def test_a_turn_that_broke_off_is_asked_for_again_and_leaves_no_trace_in_the_conversation(tmp_path: Path):
    broken = BrokenTurnError("overloaded", "llm.failed")
    ended, model, events = await work(tmp_path, Turn("one", (WRITE,)), broken, broken, broken, SUBMIT)
    assert ended == Ended(Outcome.SUBMITTED)
    assert model.asked == 5
    assert [type(message) for message in model.shown] == [Told, Turn, ToolAnswer]
    assert [event.reason for event in events if isinstance(event, Waiting)] == ["overloaded"] * 3
    said = [(event.text, event.part, event.more) for event in events if isinstance(event, Said)]
    assert said == [("one", 0, False), *[("I was about to", 0, False)] * 3]


async def test_a_turn_that_always_breaks_off_ends_the_work_with_its_reason(tmp_path: Path):
    ended, model, _ = await work(tmp_path, *[BrokenTurnError("cut", "llm.truncated")] * 9)
    assert ended == Ended(Outcome.GAVE_UP, "cut", "llm.truncated")
    assert model.asked == 4


async def test_a_model_that_is_refused_is_not_asked_again(tmp_path: Path):
    ended, model, _ = await work(tmp_path, ModelError("spent", "llm.budget"), SUBMIT)
    assert ended == Ended(Outcome.GAVE_UP, "spent", "llm.budget")
    assert model.asked == 1


BROKEN = Turn(calls=(call("write", '{"path": "a", "con'),))


async def test_arguments_that_are_no_json_are_told_to_the_model_three_times_in_a_row_and_end_the_work(tmp_path: Path):
    ended, model, _ = await work(tmp_path, *[BROKEN] * 9, max_steps=20)
    reason = "the model's tool calls were no JSON, 4 times in a row"
    assert ended == Ended(Outcome.GAVE_UP, reason, "llm.protocol")
    answers = [message for message in model.shown if isinstance(message, ToolAnswer)]
    assert [(answer.ok, "bad arguments for write" in answer.text) for answer in answers] == [(False, True)] * 3


async def test_a_model_that_finds_back_to_json_may_go_on(tmp_path: Path):
    good = Turn(calls=(WRITE,))
    ended, _, _ = await work(tmp_path, *[BROKEN] * 3, good, *[BROKEN] * 3, SUBMIT, max_steps=20)
    assert ended == Ended(Outcome.SUBMITTED)


async def test_calls_of_a_turn_that_was_cut_off_are_not_made(tmp_path: Path):
    cut = Turn("I wri", (WRITE, call("submit", "")), is_cut_off=True)
    ended, model, events = await work(tmp_path, cut, cut, cut, cut, SUBMIT, max_steps=9)
    assert ended == Ended(Outcome.SUBMITTED)
    assert not (tmp_path / "workspace/a").exists()
    answers = [message for message in model.shown if isinstance(message, ToolAnswer)]
    assert all("cut off" in answer.text and not answer.ok for answer in answers)
    assert sum(isinstance(event, ToolReturned) for event in events) == 9


async def test_a_model_that_was_cut_off_while_it_spoke_is_told_so(tmp_path: Path):
    cut = Turn("I thi", is_cut_off=True)
    ended, model, _ = await work(tmp_path, cut, cut, SUBMIT)
    assert ended == Ended(Outcome.SUBMITTED)
    assert model.shown[1] == cut
    assert isinstance(model.shown[2], Told)
    assert "cut off" in model.shown[2].text


async def test_a_conversation_that_grows_too_long_is_shown_in_part(tmp_path: Path):
    look = Turn(calls=(call("run", '{"command": "seq 2000"}'),))
    ended, model, events = await work(tmp_path, *[look] * 10, SUBMIT, max_steps=20, room=50_000)
    assert ended == Ended(Outcome.SUBMITTED)
    answers = [message.text for message in model.shown if isinstance(message, ToolAnswer)]
    assert "left out to save room" in answers[0]
    assert "left out to save room" not in answers[-1]
    told = "".join(event.text for event in events if isinstance(event, ToolReturned))
    assert "to save room" not in told
