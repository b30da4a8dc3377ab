"""What a harness is to do, from its arguments and its environment."""

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Literal, Never, get_args

import msgspec

from agent_image.gateway.plan import Wire
from agent_image.mcp.servers import ServersError, read_servers

SCRIPTED = "scripted"
_LONGEST_TIMEOUT_S = 1_000_000
_MOST_DIGITS = 9
_HOTTEST = 2


class AgentKind(StrEnum):
    BUILTIN = "builtin"
    CLAUDE_CODE = "claude-code"
    CODEX = "codex"
    COMMAND = "command"


class Access(msgspec.Struct, frozen=True):
    """Where models are, and what lets us in; the token is good for this variation alone."""

    url: str
    """`http://…`, or `unix:///…` for a socket in the file system."""
    token: str

    def __repr__(self) -> str:
        return f"Access(url={self.url!r})"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    agent: AgentKind
    prompt: str
    model: str
    """As its provider knows it, or `scripted`."""
    wire: Wire | None = None
    """What the model's provider speaks; None for one that needs no provider."""
    temperature: float | None = None
    access: Access | None = None
    agent_home: Path = Path("/opt/aideator-agent")
    """Where the agent's own programs and packages are."""
    mcp: str = ""
    """MCP servers, as JSON: see `agent_image/mcp`."""
    command: str
    setup: tuple[str, ...]
    """Commands to run instead of an agent; empty for a variation."""
    serve: Literal["files", "git"] | None = None
    """An MCP server to be, instead of an agent."""
    timeout_s: float
    max_steps: int
    directory: Path
    result: Path | None
    run_id: str
    variation: int


class TaskError(Exception):
    """The arguments make no task; the message is one sentence for people."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Never:
        raise TaskError(message)


def read_task(arguments: Sequence[str], environment: Mapping[str, str]) -> Task:
    """Return the task; an argument wins over its variable, and an empty variable is none.

    Raises:
        TaskError: something is missing, malformed or unknown.

    """
    parsed = _parser().parse_args(arguments)
    if parsed.task_from_stdin:
        raise TaskError("--task-from-stdin stands alone")

    def chosen(argument: str | None, variable: str, default: str = "") -> str:
        return argument if argument is not None else environment.get(variable) or default

    task = Task(
        # An image may have a variable AGENT of its own, and there are tasks without an agent.
        agent=_agent("command" if parsed.setup or parsed.serve else chosen(parsed.agent, "AGENT", "builtin")),
        prompt=chosen(parsed.prompt, "PROMPT"),
        model=chosen(parsed.model, "MODEL", SCRIPTED),
        wire=parsed.wire,
        temperature=_temperature(parsed.temperature),
        access=_access(environment),
        agent_home=Path(parsed.agent_home),
        mcp=parsed.mcp,
        command=chosen(parsed.command, "COMMAND"),
        setup=tuple(parsed.setup),
        serve=parsed.serve,
        timeout_s=_seconds(chosen(parsed.timeout, "AGENT_TIMEOUT", "300")),
        max_steps=_whole("--max-steps", parsed.max_steps, least=1),
        directory=Path(parsed.workdir),
        result=Path(parsed.result) if parsed.result else None,
        run_id=environment.get("RUN_ID", ""),
        variation=_whole("VARIATION_ID", environment.get("VARIATION_ID") or "0", least=0),
    )
    _check(task)
    return task


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m agent_image",
        description="Let an agent work in a directory, and print what it does, one JSON event a line.",
        epilog="Exit status: 0 submitted, 2 bad arguments, 3 gave up, 70 crashed or terminated, 124 timed out. "
        "RUN_ID and VARIATION_ID (default: 0) say which run and variation this is, AIDEATOR_GATEWAY and AIDEATOR_TOKEN "
        "where models are asked and what lets us in.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--prompt", metavar="TEXT", help="what the agent is asked to do (or PROMPT)")
    add("--agent", metavar="NAME", help="builtin, the default, claude-code, codex or command (or AGENT)")
    add("--model", metavar="NAME", help="what the agent asks (or MODEL; default: scripted)")
    add("--wire", choices=get_args(Wire), help="what the model's provider speaks, where the model has one")
    add("--temperature", metavar="T", help="how freely the builtin agent's model chooses, from 0 to 2")
    add("--agent-home", metavar="DIR", default="/opt/aideator-agent", help="where the agent's own packages are "
        "(default: /opt/aideator-agent)")  # fmt: skip
    add("--mcp", metavar="JSON", default="", help="MCP servers for the agent")
    add("--command", metavar="LINE", help="the shell command that is the agent `command`; it finds PROMPT in its "
        "environment (or COMMAND)")  # fmt: skip
    add("--timeout", metavar="SECONDS", help="when everything is killed (or AGENT_TIMEOUT; default: 300)")
    add("--max-steps", metavar="N", default="50", help="turns of the model, at most (default: 50)")
    add("--workdir", metavar="DIR", default=os.curdir, help="where the agent works (default: here)")
    add("--result", metavar="FILE", help="where to write outcome, exit status and seconds as JSON (default: nowhere)")
    add("--setup", metavar="LINE", action="append", default=[], help="run this shell command instead of an agent; "
        "repeatable, ends at the first that fails")  # fmt: skip
    add("--serve", choices=("files", "git"), help="be an MCP server on the repository instead, on stdin and stdout")
    add("--task-from-stdin", action="store_true", help="read arguments and variables from stdin instead, where nobody "
        'else can: {"arguments": [...], "environ": {...}}')  # fmt: skip
    return parser


def _check(task: Task) -> None:
    try:
        read_servers(task.mcp)
    except ServersError as error:
        raise TaskError(str(error)) from error
    if task.setup or task.serve:
        return
    if task.agent is AgentKind.COMMAND and not task.command.strip():
        raise TaskError("the agent `command` needs a command: give --command or COMMAND")
    if task.agent is not AgentKind.COMMAND and not task.prompt.strip():
        raise TaskError("there is no prompt: give --prompt or PROMPT")
    _check_model(task)


def _check_model(task: Task) -> None:
    if task.agent is AgentKind.COMMAND or (task.agent is AgentKind.BUILTIN and task.model == SCRIPTED):
        return
    if task.model == SCRIPTED:
        raise TaskError(f"the agent `{task.agent}` needs a model: give --model or MODEL")
    if task.access is None or task.wire is None:
        raise TaskError(f"the model {task.model!r} needs a gateway: give --wire, AIDEATOR_GATEWAY and AIDEATOR_TOKEN")
    if task.agent is AgentKind.CLAUDE_CODE and task.wire != "messages":
        raise TaskError(f"the agent `claude-code` speaks messages, and the model {task.model!r} {task.wire}")
    if task.agent is AgentKind.CODEX and task.wire == "messages":
        raise TaskError(f"the agent `codex` speaks responses, and the model {task.model!r} messages")


def _agent(name: str) -> AgentKind:
    try:
        return AgentKind(name)
    except ValueError:
        raise TaskError(f"there is no agent {name!r}; there are: {', '.join(AgentKind)}") from None


def _access(environment: Mapping[str, str]) -> Access | None:
    url, token = environment.get("AIDEATOR_GATEWAY"), environment.get("AIDEATOR_TOKEN")
    return Access(url.rstrip("/"), token) if url and token else None


def _temperature(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        temperature = float(text)
    except ValueError:
        temperature = math.nan
    if not 0 <= temperature <= _HOTTEST:
        raise TaskError(f"--temperature has to be a number from 0 to {_HOTTEST}, not {text!r}")
    return temperature


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _LONGEST_TIMEOUT_S:
        raise TaskError(f"the timeout has to be a number of seconds above 0, up to {_LONGEST_TIMEOUT_S}, not {text!r}")
    return seconds


def _whole(name: str, text: str, *, least: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text) >= least:
        return int(text)
    raise TaskError(f"{name} has to be a whole number, {least} or more, not {text!r}")
