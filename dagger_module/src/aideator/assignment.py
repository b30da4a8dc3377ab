"""Who works on a variation: which agent, with which model."""

import json
from dataclasses import dataclass, fields, replace
from typing import Any, cast

from aideator.task import AGENTS, SCRIPTED

_MODELS = {
    "builtin": SCRIPTED,
    "claude-code": "anthropic/claude-sonnet-5-5",
    "codex": "openai/gpt-6.1-sol",
    "command": "",
}
"""What each agent asks where nothing else is said."""
_HOTTEST = 2
_MOST = 1000
"""Variations of a run."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    agent: str = "builtin"
    model: str = ""
    """`provider/name`, or a name whose provider is clear, or `scripted`; empty for a command that asks none."""
    temperature: float | None = None
    prompt_suffix: str = ""
    """What this variation is told after the prompt that all share."""
    command: str = ""

    def prompt(self, shared: str) -> str:
        return f"{shared}\n\n{self.prompt_suffix}" if self.prompt_suffix else shared


def read_agents(text: str) -> list[Assignment]:
    """Read a matrix: a JSON array of objects with `agent`, `model`, `temperature`, `prompt_suffix`, `command`, `count`.

    Raises:
        ValueError: it is none; the message says which entry is wrong, and how.

    """
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise ValueError(f"--agents is no JSON: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise ValueError("--agents has to be a JSON array with an object for each kind of agent")
    found: list[Assignment] = []
    for index, entry in enumerate(cast("list[Any]", entries)):
        found += _several(entry, f"--agents[{index}]")
        check_count(len(found), "--agents")
    return found


def check_count(variations: int, where: str) -> None:
    """Raise `ValueError` where a run cannot have as many variations; `where` names the culprit."""
    if not 1 <= variations <= _MOST:
        raise ValueError(f"{where}: a run has 1 to {_MOST} variations, not {variations}")


def assigned(assignment: Assignment, where: str) -> Assignment:
    """Fill in the default model and check that agent, model and command fit.

    What is wrong is named by `where` and its field: `--` makes flags of them.

    Raises:
        ValueError: they do not.

    """
    agent, command, temperature = assignment.agent, assignment.command, assignment.temperature
    if agent not in AGENTS:
        raise ValueError(f"{where}agent is one of {', '.join(AGENTS)}, not {agent}")
    if agent == "command" and not command.strip():
        raise ValueError(f"{where}command: the agent `command` needs a command line")
    if agent != "command" and command:
        raise ValueError(f"{where}command: only the agent `command` takes one")
    if temperature is not None and not 0 <= temperature <= _HOTTEST:
        raise ValueError(f"{where}temperature is a number from 0 to {_HOTTEST}, not {temperature:g}")
    if temperature is not None and agent != "builtin":
        raise ValueError(f"{where}temperature: {agent} has none to set")
    model = assignment.model or _MODELS[agent]
    if model == SCRIPTED and agent != "builtin":
        raise ValueError(f"{where}model: only the builtin agent plays scripts")
    return replace(assignment, model=model)


def _several(entry: Any, where: str) -> list[Assignment]:
    if not isinstance(entry, dict):
        raise TypeError(f"{where} is no object")
    given = dict(cast("dict[str, Any]", entry))
    count = given.pop("count", 1)
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"{where}.count is a whole number")
    check_count(count, f"{where}.count")
    if unknown := given.keys() - {field.name for field in fields(Assignment)}:
        raise ValueError(f"{where} has {', '.join(sorted(unknown))}, which no agent has")
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float if name == "temperature" else str):
            raise TypeError(f"{where}.{name} is {'a number' if name == 'temperature' else 'a text'}")
    return [assigned(Assignment(**given), f"{where}.")] * count
