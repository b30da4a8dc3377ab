"""Codex: OpenAI's agent, which asks models in the Responses format."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import Struct

from agent_image.agents.access import openai_variables
from agent_image.agents.command_line import call_failed, failed, installed
from agent_image.agents.transcript import Transcript
from agent_image.events import Outcome, Usage
from agent_image.mcp.servers import Server, command_of, read_servers
from agent_image.result import Ended
from agent_image.shell import CommandEnded
from agent_image.task import Access, Task

_PROGRAM = "codex_cli_bin/bin/codex"
_OPTIONS = (
    "exec",
    "--json",
    "--ephemeral",
    "--dangerously-bypass-approvals-and-sandbox",
    "--skip-git-repo-check",
)
_CONFIGURATION: dict[str, object] = {
    # What would ask others than the gateway.
    "analytics.enabled": False,
    "features.plugins": False,
    # A login shell would begin with a PATH that is not the image's.
    "allow_login_shell": False,
    # Where nobody answers it would wait until the time is up.
    "features.unbounded_connection_retries": False,
    "model_provider": "gateway",
}
_TRIES = {"request_max_retries": 0, "stream_max_retries": 2}  # the gateway is more patient
_SERVER = {"required": True, "startup_timeout_sec": 30}
_NO_ARGUMENTS = frozenset({"id", "type", "status", "aggregated_output", "exit_code", "result", "error"})
_NO_SERVERS = re.compile("required MCP servers failed to initialize: .*")
_BAD_REQUEST = 400
"""Of such an answer it tells all that there is, and no status."""
_STATUS = re.compile(r"\bstatus:? (\d{3})\b")

_Item = dict[str, Any]


class _Began(Struct, frozen=True, tag="thread.started"):
    pass


class _TurnStarted(Struct, frozen=True, tag="turn.started"):
    pass


class _ItemStarted(Struct, frozen=True, tag="item.started"):
    item: _Item


class _ItemUpdated(Struct, frozen=True, tag="item.updated"):
    item: _Item


class _ItemCompleted(Struct, frozen=True, tag="item.completed"):
    item: _Item


class _Used(Struct, frozen=True):
    input_tokens: int = 0
    """All of them, those in the caches too."""
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    output_tokens: int = 0


class _TurnCompleted(Struct, frozen=True, tag="turn.completed"):
    usage: _Used = _Used()


class _Error(Struct, frozen=True, tag="error"):
    message: str


class _TurnFailed(Struct, frozen=True, tag="turn.failed"):
    error: "_Message"


class _Message(Struct, frozen=True):
    message: str


class _Refusal(Struct, frozen=True):
    """What the gateway, or the provider behind it, answered."""

    error: _Message


_decoder = msgspec.json.Decoder(
    _Began | _TurnStarted | _ItemStarted | _ItemUpdated | _ItemCompleted | _TurnCompleted | _Error | _TurnFailed
)


class Codex:
    def __init__(self, task: Task, access: Access, own: Path) -> None:
        self._task = task
        self._access = access
        self._own = own
        self._servers = read_servers(task.mcp)
        self._open: set[str] = set()
        """The calls that have not returned."""
        self._is_complete = False
        self._failure = ""

    def command(self) -> list[str]:
        url = openai_variables(self._access)["OPENAI_BASE_URL"]
        gateway = {"name": "gateway", "base_url": url, "env_key": "OPENAI_API_KEY", "wire_api": "responses", **_TRIES}
        configuration = {**_CONFIGURATION, "model_providers.gateway": gateway}
        if self._servers:
            servers = {name: _configured(server) for name, server in self._servers.items()}
            # In a file, for others can read a command line, and what servers are told may be secret.
            (self._own / "config.toml").write_text(f"mcp_servers = {_toml(servers)}\n", "utf-8")
        settings = [f"--config={name}={_toml(value)}" for name, value in configuration.items()]
        return [installed(self._task, _PROGRAM), *_OPTIONS, *settings, f"--model={self._task.model}", "-"]

    def environment(self) -> dict[str, str]:
        return {**openai_variables(self._access), "CODEX_HOME": str(self._own)}

    def read(self, line: bytes, transcript: Transcript) -> None:
        match _decoder.decode(line):
            case _ItemStarted(item) if item.get("type") not in {"agent_message", "reasoning", "error"}:
                self._call(item, transcript)
            case _ItemCompleted(item):
                self._complete(item, transcript)
            case _TurnCompleted(used):
                self._is_complete = True
                for call in sorted(self._open):
                    transcript.returned(call, "it was still at work when the agent ended", ok=False)
                transcript.used(_usage(self._task.model, used))
            case _TurnFailed(error):
                self._failure = error.message
            case _Error(message):
                transcript.noted(message)
            case _:
                pass

    def ended(self, ended: CommandEnded) -> Ended:
        if self._failure:
            return _failure(self._failure)
        if servers := _NO_SERVERS.search(ended.seen):
            return Ended(Outcome.GAVE_UP, servers[0], "mcp.failed")
        if ended.status != 0 or not self._is_complete:
            return failed("codex", ended)
        return Ended(Outcome.SUBMITTED)

    def _call(self, item: _Item, transcript: Transcript) -> None:
        self._open.add(str(item.get("id")))
        if item.get("type") == "mcp_tool_call":
            tool = f"mcp__{item.get('server')}__{item.get('tool')}"
            transcript.called(str(item.get("id")), tool, json.dumps(item.get("arguments")))
        else:
            arguments = {name: value for name, value in item.items() if name not in _NO_ARGUMENTS}
            transcript.called(str(item.get("id")), str(item.get("type")), json.dumps(arguments))

    def _complete(self, item: _Item, transcript: Transcript) -> None:
        match item:
            case {"type": "agent_message", "text": str(text)}:
                transcript.said(text)
                transcript.close()
            case {"type": "reasoning", "text": str(text)}:
                transcript.said(text, is_thought=True)
                transcript.close()
            case {"type": "error", "message": str(message)}:  # a warning: what fails is the turn
                transcript.noted(message)
            case _:
                if str(item.get("id")) not in self._open:
                    self._call(item, transcript)
                self._open.discard(str(item.get("id")))
                transcript.returned(str(item.get("id")), _answer(item), ok=_is_ok(item))


def _is_ok(item: _Item) -> bool:
    return item.get("status", "completed") == "completed" and not item.get("exit_code") and not item.get("error")


def _answer(item: _Item) -> str:
    match item:
        case {"aggregated_output": str(output)}:
            return output
        case {"error": {"message": str(message)}}:
            return message
        case {"result": {"content": [*blocks]}}:
            return "\n".join(str(block.get("text", f"[{block.get('type')}]")) for block in blocks)
        case _:
            return str(item.get("status", ""))


def _failure(message: str) -> Ended:
    """Return the end of a turn that failed, by its message: an answer as it came, or one with its address."""
    try:
        refusal = msgspec.json.decode(message, type=_Refusal)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        status = _STATUS.search(message)
        return call_failed(message.partition(", url: ")[0], int(status[1]) if status else None)
    return msgspec.structs.replace(call_failed(message, _BAD_REQUEST), reason=refusal.error.message)


def _configured(server: Server) -> dict[str, object]:
    if server.url:
        return {"url": server.url, **_SERVER}
    program, *arguments = command_of(server)
    return {"command": program, "args": arguments, "env": server.env, **_SERVER}


def _toml(value: object) -> str:
    """Write a value in TOML; in all but tables, and in one character, that is JSON."""
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value)
        return "{" + ", ".join(f"{_toml(name)} = {_toml(inner)}" for name, inner in pairs.items()) + "}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")


def _usage(model: str, used: _Used) -> partial[Usage]:
    new = used.input_tokens - used.cached_input_tokens - used.cache_write_input_tokens
    usage = partial(Usage, model=model, input_tokens=max(0, new), output_tokens=used.output_tokens)
    cached, written = used.cached_input_tokens, used.cache_write_input_tokens
    return partial(usage, cache_read_tokens=cached, cache_write_tokens=written)
