"""The model that needs no key: it plays written turns, and the tools do in earnest what they ask for."""

import anyio

from agent_image.look_around import look_around
from agent_image.model import Conversation, ToolCall, Turn
from agent_image.script import Script, ScriptedTurn, read_script
from agent_image.speech import Speech
from agent_image.workspace import Workspace


class ScriptedModel:
    """Plays the repository's script for a variation, or, without one, `look_around`."""

    def __init__(self, workspace: Workspace, *, variation: int) -> None:
        self._workspace = workspace
        self._variation = variation
        self._script: Script | None = None

    async def ask(self, conversation: Conversation, speech: Speech) -> Turn:
        number = sum(isinstance(message, Turn) for message in conversation)
        if number == 0:  # an agent may change its script, but not while it is played
            self._script = read_script(self._workspace, self._variation)
        turn = self._turn(number, conversation)
        await anyio.sleep(turn.delay_s)
        speech.text(turn.said)
        calls = (
            ToolCall(f"{number + 1}.{index}", call.tool, bytes(call.arguments).decode())
            for index, call in enumerate(turn.calls, start=1)
        )
        return Turn(turn.said, tuple(calls))

    def _turn(self, number: int, conversation: Conversation) -> ScriptedTurn:
        if self._script is None:
            return look_around(self._variation, conversation)
        return self._script.turn(number)
