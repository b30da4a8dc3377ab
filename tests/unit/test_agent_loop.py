from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from toolboxes import Bench, bench

from agent_image.events import Event, Outcome, Said, ToolCalled, ToolReturned, Usage
from agent_image.loop import Loop
from agent_image.model import Conversation, Message, ModelError, Tokens, Told, ToolAnswer, ToolCall, Turn
from agent_image.output import Limits
from agent_image.result import Ended


class WrittenModel:
    """Takes the turns it was given, says them in pieces as a provider streams, and keeps what it was shown."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = iter(turns)
        self.shown: list[Message] = []

    async def ask(self, conversation: Conversation, say: Callable[[str], None]) -> Turn:
        self.shown = list(conversation)
        turn = next(self._turns, None)
        if turn is None:
            raise ModelError("the model is out of turns")
        for word in turn.said.split():
            say(word)
        return turn


def call(tool: str, arguments: str = "{}", name: str = "c") -> ToolCall:
    return ToolCall(name, tool, arguments)


SUBMIT = Turn(calls=(call("submit"),))
WRITE = call("write", '{"path": "a", "content": "x"}')


async def work(
    directory: Path, *turns: Turn, max_steps: int = 5, limits: Limits | None = None
) -> tuple[Ended, WrittenModel, list[Event]]:
    model = WrittenModel(turns)
    (directory / "workspace").mkdir()
    at: Bench
    async with bench(directory / "workspace", directory / "log", limits) as at:
        loop = Loop(model=model, model_name="m", toolbox=at.toolbox, emitter=at.emitter, max_steps=max_steps)
        ended = await loop.work("do it")
    return ended, model, at.events


async def test_a_model_works_until_it_submits(tmp_path: Path):
    ended, _, events = await work(tmp_path, Turn("I write it", (WRITE,)), SUBMIT)
    assert ended == Ended(Outcome.SUBMITTED)
    assert (tmp_path / "workspace/a").read_text() == "x"
    assert [type(event) for event in events] == [Said, Said, Said, ToolCalled, ToolReturned, ToolCalled, ToolReturned]


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
    assert ended == Ended(Outcome.GAVE_UP, "the model is out of turns")


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
