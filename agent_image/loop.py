"""The built-in agent: ask the model, do what it asks for, tell it what came of it, until it submits or may no more."""

from functools import partial

import msgspec

from agent_image.emitter import Emitter
from agent_image.events import Outcome, Said, ToolCalled, ToolReturned, Usage
from agent_image.model import Message, Model, ModelError, Told, ToolAnswer, ToolCall, Turn
from agent_image.result import Ended
from agent_image.tools import Toolbox

_LONGEST_NAME = 100
_NUDGE = "That was no tool call. Go on with one, or call submit if the work is done."


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """Who talks to whom, and for how long at most."""

    model: Model
    model_name: str
    toolbox: Toolbox
    emitter: Emitter
    max_steps: int

    async def work(self, prompt: str) -> Ended:
        """Work on `prompt` until the model submits, gives up or has taken `max_steps` turns."""
        conversation: list[Message] = [Told(prompt)]
        try:
            for _ in range(self.max_steps):
                turn = await self._ask(conversation)
                if not turn.calls and conversation[-1] == Told(_NUDGE):
                    return Ended(Outcome.GAVE_UP, "the model called no tool, twice in a row")
                conversation.append(turn)
                if not turn.calls:
                    conversation.append(Told(_NUDGE))
                for call in turn.calls:
                    answer = await self._use(call)
                    conversation.append(answer)
                    if answer.submits:
                        return Ended(Outcome.SUBMITTED)
                if not self.toolbox.may_print:
                    return Ended(Outcome.GAVE_UP, "its commands have printed all that they may")
        except ModelError as error:
            return Ended(Outcome.GAVE_UP, str(error))
        return Ended(Outcome.GAVE_UP, f"the model did not submit within {self.max_steps} steps")

    async def _ask(self, conversation: list[Message]) -> Turn:
        turn = await self.model.ask(conversation, partial(self.emitter.emit_text, Said))
        if tokens := turn.tokens:
            usage = partial(Usage, model=self.model_name, cost_usd=tokens.cost_usd)
            usage = partial(usage, input_tokens=tokens.input, output_tokens=tokens.output)
            usage = partial(usage, cache_read_tokens=tokens.cache_read, cache_write_tokens=tokens.cache_write)
            self.emitter.emit(usage)
        return turn

    async def _use(self, call: ToolCall) -> ToolAnswer:
        name = call.id[:_LONGEST_NAME]
        self.emitter.emit_text(partial(ToolCalled, call=name, tool=call.tool[:_LONGEST_NAME]), call.arguments)
        answer = await self.toolbox.use(call)
        self.emitter.emit_text(partial(ToolReturned, call=name, ok=answer.ok), answer.text)
        return answer
