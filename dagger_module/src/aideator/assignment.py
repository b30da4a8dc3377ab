"""Who works on a variation: which agent, with which model."""

import json
from dataclasses import dataclass, fields, replace
from typing import Any, cast

from aideator.variation import AGENTS, SCRIPTED

_MODELS = {
    "builtin": SCRIPTED,
    "claude-code": "anthropic/claude-sonnet-5-5",
    "codex": "openai/gpt-6.1-sol",
    "command": "",
}
"""What each agent asks where nothing else is said."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    agent: str = "builtin"
    model: str = ""
    """`provider/name`, or `scripted`; empty for a command that asks none."""
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
    each = [_several(entry, f"--agents[{index}]") for index, entry in enumerate(cast("list[Any]", entries))]
    return [assignment for several in each for assignment in several]


def assigned(assignment: Assignment, where: str) -> Assignment:
    """Fill in the default model and check that agent, model and command fit; `where` names the culprit.

    Raises:
        ValueError: they do not.

    """
    if assignment.agent not in AGENTS:
        raise ValueError(f"{where}: the agent is one of {', '.join(AGENTS)}, not {assignment.agent}")
    if bool(assignment.command) != (assignment.agent == "command"):
        raise ValueError(f"{where}: the agent `command` and a command go together")
    if assignment.temperature is not None and assignment.agent != "builtin":
        raise ValueError(f"{where}: {assignment.agent} has no temperature to set")
    model = assignment.model or _MODELS[assignment.agent]
    if model not in {"", SCRIPTED} and not all(model.partition("/")[::2]):
        raise ValueError(f"{where}: a model is {SCRIPTED}, or a provider and a name, such as {_MODELS['codex']}")
    if model == SCRIPTED and assignment.agent != "builtin":
        raise ValueError(f"{where}: only the builtin agent plays scripts")
    return replace(assignment, model=model)


def _several(entry: Any, where: str) -> list[Assignment]:
    if not isinstance(entry, dict):
        raise TypeError(f"{where} is no object")
    given = dict(cast("dict[str, Any]", entry))
    count = given.pop("count", 1)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError(f"{where}: count is a whole number, 1 or more")
    if unknown := given.keys() - {field.name for field in fields(Assignment)}:
        raise ValueError(f"{where} has {', '.join(sorted(unknown))}, which no agent has")
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float if name == "temperature" else str):
            raise TypeError(f"{where}: {name} is {'a number' if name == 'temperature' else 'a text'}")
    return [assigned(Assignment(**given), where)] * count
