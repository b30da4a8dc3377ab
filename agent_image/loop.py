"""The built-in agent: ask the model, do what it asks for, tell it what came of it, until it submits or may no more."""

from functools import partial

import anyio
import msgspec

from agent_image.context import ROOM, shortened
from agent_image.emitter import Emitter
from agent_image.events import Outcome, ToolCalled, ToolReturned, Usage, Waiting
from agent_image.model import BrokenTurnError, Message, Model, ModelError, Told, ToolAnswer, ToolCall, Turn
from agent_image.result import Ended
from agent_image.speech import Speech
from agent_image.tools import Toolbox

_LONGEST_NAME = 100
_MOST_UNREADABLE = 3
"""Turns in a row whose calls are no JSON, and that the model is told so."""
_NUDGE = "That was no tool call. Go on with one, or call submit if the work is done."
_CUT_OFF = "Your answer was cut off: it reached its greatest length. Go on from there, in shorter steps."
_NOT_MADE = (
    "error: this call was not made, for your answer was cut off: it reached its greatest length. Make it shorter."
)


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """Who talks to whom, and for how long at most."""

    model: Model
    model_name: str
    toolbox: Toolbox
    emitter: Emitter
    max_steps: int
    room: int = ROOM
    """Characters of the conversation that the model is shown."""
    pauses_s: tuple[float, ...] = (1.0, 3.0, 9.0)
    """Before a turn that broke off is asked for again; as often as there are pauses."""

    async def work(self, prompt: str) -> Ended:
        """Work on `prompt` until the model submits, gives up or has taken `max_steps` turns."""
        try:
            return await self._work([Told(prompt)])
        except ModelError as error:
            return Ended(Outcome.GAVE_UP, str(error), error.code)

    async def _work(self, conversation: list[Message]) -> Ended:
        unreadable = 0
        for step in range(1, self.max_steps + 1):
            turn = await self._next_turn(conversation)
            unreadable = unreadable + 1 if _is_unreadable(turn) else 0
            if unreadable > _MOST_UNREADABLE:
                raise ModelError(f"the model's tool calls were no JSON, {unreadable} times in a row", "llm.protocol")
            if not turn.calls and not turn.is_cut_off and conversation[-1] == Told(_NUDGE):
                return Ended(Outcome.GAVE_UP, "the model called no tool, twice in a row")
            conversation.append(turn)
            if not turn.calls:
                conversation.append(Told(_CUT_OFF if turn.is_cut_off else _NUDGE))
            for number, call in enumerate(turn.calls, start=1):
                answer = await self._answer(call, f"{step}.{number}", is_made=not turn.is_cut_off)
                conversation.append(answer)
                if answer.submits:
                    return Ended(Outcome.SUBMITTED)
            if not self.toolbox.may_print:
                return Ended(Outcome.GAVE_UP, "its commands have printed all that they may")
        return Ended(Outcome.GAVE_UP, f"the model did not submit within {self.max_steps} steps")

    async def _next_turn(self, conversation: list[Message]) -> Turn:
        for pause_s in self.pauses_s:
            try:
                return await self._ask(conversation)
            except BrokenTurnError as error:
                self.emitter.emit(partial(Waiting, reason=str(error), for_s=pause_s))
                await anyio.sleep(pause_s)
        return await self._ask(conversation)

    async def _ask(self, conversation: list[Message]) -> Turn:
        speech = Speech(self.emitter)
        try:
            turn = await self.model.ask(shortened(conversation, self.room), speech)
        finally:
            speech.close()
        if tokens := turn.tokens:
            usage = partial(Usage, model=self.model_name, cost_usd=tokens.cost_usd)
            usage = partial(usage, input_tokens=tokens.input, output_tokens=tokens.output)
            usage = partial(usage, cache_read_tokens=tokens.cache_read, cache_write_tokens=tokens.cache_write)
            self.emitter.emit(usage)
        return turn

    async def _answer(self, call: ToolCall, name: str, *, is_made: bool) -> ToolAnswer:
        """Make a call, which the events know by `name`: what a model calls it may come twice."""
        self.emitter.emit_text(partial(ToolCalled, call=name, tool=call.tool[:_LONGEST_NAME]), call.arguments)
        answer = await self.toolbox.use(call) if is_made else ToolAnswer(call=call.id, ok=False, text=_NOT_MADE)
        self.emitter.emit_text(partial(ToolReturned, call=name, ok=answer.ok), answer.text)
        return answer


def _is_unreadable(turn: Turn) -> bool:
    return not turn.is_cut_off and not all(_is_json(call.arguments) for call in turn.calls)


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True
