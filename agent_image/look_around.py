"""The script of our own: looks around, writes a file that differs in each variation, and submits."""

import msgspec

from agent_image.model import Conversation, Told, ToolAnswer, Turn
from agent_image.script import ScriptedCall, ScriptedTurn
from agent_image.tools import Arguments, Read, Run, Submit, Write


def look_around(variation: int, conversation: Conversation) -> ScriptedTurn:
    """Return the turn that follows `conversation`."""
    found = [message.text for message in conversation if isinstance(message, ToolAnswer)]
    called = [call.tool for message in conversation if isinstance(message, Turn) for call in message.calls]
    if not found:
        return _turn("I look around first.", "run", Run("ls"))
    readme = next((name for name in found[0].splitlines() if name.lower().startswith("readme")), None)
    if readme and "read" not in called:
        return _turn(f"There is a {readme}; I read it.", "read", Read(readme, limit=20))
    name = f"AIDEATOR-{variation}.md"
    if "write" not in called:
        return _turn(f"I write down what I found, in {name}.", "write", Write(name, _notes(variation, conversation)))
    return _turn("That is all.", "submit", Submit(f"wrote {name}"))


def _turn(said: str, tool: str, arguments: Arguments) -> ScriptedTurn:
    return ScriptedTurn(said, (ScriptedCall(tool, msgspec.Raw(msgspec.json.encode(arguments))),))


def _notes(variation: int, conversation: Conversation) -> str:
    prompt = "\n".join(message.text for message in conversation if isinstance(message, Told))
    found = "\n".join(message.text for message in conversation if isinstance(message, ToolAnswer))
    return f"# Variation {variation}\n\nI was asked:\n\n{_quoted(prompt)}\n\nI found:\n\n{_quoted(found)}\n"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())
