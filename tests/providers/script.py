"""What a fake model says: turns, chosen by how far the conversation of a request has come, never by counting calls."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

SOURCE = "source"
"""The argument of a tool that takes no JSON, but a program, and is called with that alone."""

_PIECES = 4
_SHORTEST_PIECE = 8
_LONGEST_PIECE = 65_536
"""Characters."""


class Call(msgspec.Struct, frozen=True):
    """A tool call, for whichever agent asks."""

    ways: Mapping[str, Mapping[str, Any]]
    """Arguments by tool; of these tools the first one that the request offers is called."""
    otherwise: str | None = None
    """Said where the request offers none of them; None: the first one is called all the same."""


def shell(command: str) -> Call:
    """A command line in the shell of Claude Code, of Codex, or of our own agent."""
    whole = {"cmd": command, "yield_time_ms": 30_000}  # else a slow one goes on in the background
    ways: dict[str, dict[str, Any]] = {
        "Bash": {"command": command},
        "exec_command": whole,
        "shell": {"command": ["sh", "-c", command]},
        "exec": {SOURCE: f"const done = await tools.exec_command({json.dumps(whole)}); text(done.output);"},
        "run": {"command": command},
    }
    return Call(ways, otherwise="")


def mcp(server: str, tool: str, **arguments: Any) -> Call:
    """A call of an MCP server's tool by Claude Code, by Codex, or by our own agent."""
    name = f"mcp__{server}__{tool}"
    source = f"const done = await tools.{name}({json.dumps(arguments)}); text(JSON.stringify(done));"
    return Call({f"{server}__{tool}": arguments, name: arguments, "exec": {SOURCE: source}}, otherwise="")


def submit(summary: str = "Done.") -> Call:
    """The end of our own agent's work; other agents end with a text, so for them it is one."""
    return Call({"submit": {"summary": summary}}, otherwise=summary)


def call(tool: str, **arguments: Any) -> Call:
    """A call of exactly that tool, offered or not."""
    return Call({tool: arguments})


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer is said to have used; the four do not overlap, whatever the wire makes of them."""

    input: int = 100
    output: int = 20
    cache_read: int = 0
    cache_write: int = 0


TOKENS = Tokens()


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of the model."""

    text: str = ""
    thinking: str = ""
    calls: Sequence[Call] = ()
    tokens: Tokens | None = None
    """None for those of the whole script."""
    is_cut_short: bool = False
    """True if it ends because it has become too long."""


Script = Sequence[Turn]
"""The last turn is said again for as long as the model is asked: where that one calls a tool, the agent never ends."""

DONE: Script = (Turn(calls=(submit(),)),)


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says, in no wire's terms."""

    model: str
    answered: int
    """How many turns of the model it has; all that the model says between two messages to it are one."""
    tools: Sequence[str]
    stream: bool
    usage: bool = True
    """True if the stream is to tell the usage."""


class ToolCall(msgspec.Struct, frozen=True):
    id: str
    tool: str
    arguments: str
    """JSON, as a rule."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A turn as it goes to one caller, in no wire's terms."""

    id: str
    model: str
    text: str
    thinking: str
    calls: Sequence[ToolCall]
    tokens: Tokens
    is_cut_short: bool


def answer(script: Script, conversation: Conversation, tokens: Tokens) -> Answer:
    """Return what the model says next in this conversation."""
    number = min(conversation.answered, len(script) - 1)
    turn = script[number]
    offered = [_choose(call, conversation.tools) for call in turn.calls]
    said = [turn.text, *(words for words in offered if isinstance(words, str))]
    made = [way for way in offered if not isinstance(way, str)]
    name = f"{conversation.answered:04}"
    return Answer(
        id=name,
        model=conversation.model,
        text="\n".join(words for words in said if words),
        thinking=turn.thinking,
        calls=[ToolCall(f"{name}_{index}", tool, json.dumps(way)) for index, (tool, way) in enumerate(made)],
        tokens=turn.tokens or tokens,
        is_cut_short=turn.is_cut_short,
    )


def pieces(text: str) -> Iterator[str]:
    """Cut a text for a stream: into a few pieces, into more where those would be very long."""
    size = min(max(_SHORTEST_PIECE, -(-len(text) // _PIECES)), _LONGEST_PIECE)
    for at in range(0, len(text), size):
        yield text[at : at + size]


def turns_of_model(of_model: Sequence[bool]) -> int:
    """Count the turns of the model in a conversation whose items are its own (True) or told to it (False)."""
    return sum(own and not before for before, own in zip([False, *of_model], of_model, strict=False))


def _choose(call: Call, tools: Sequence[str]) -> tuple[str, Mapping[str, Any]] | str:
    for tool, arguments in call.ways.items():
        if tool in tools or call.otherwise is None:
            return tool, arguments
    return call.otherwise or ""
