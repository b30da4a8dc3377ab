"""Claude Code: Anthropic's agent, which asks models in the Messages format."""

import json
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from agent_image.agents.access import messages_variables
from agent_image.agents.command_line import call_failed, failed, installed
from agent_image.agents.transcript import Transcript
from agent_image.events import Outcome, Usage
from agent_image.mcp.servers import Server, command_of, read_servers
from agent_image.result import Ended
from agent_image.shell import CommandEnded
from agent_image.task import Access, Task

_PROGRAM = "claude_agent_sdk/_bundled/claude"
_OPTIONS = (
    "--print",
    "--output-format=stream-json",
    "--include-partial-messages",
    "--verbose",
    "--dangerously-skip-permissions",
    # The same agent everywhere: no hooks, plugins, settings or servers that an image or a repository has for it.
    "--bare",
    "--setting-sources=",
    "--strict-mcp-config",
    "--no-session-persistence",
)
_VARIABLES = {
    "IS_SANDBOX": "1",  # or root may not skip permissions
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "CLAUDE_CODE_MAX_RETRIES": "2",  # the gateway is more patient
    # Other ways to models, which would go before ours.
    "ANTHROPIC_AUTH_TOKEN": "",
    "CLAUDE_CODE_USE_BEDROCK": "",
    "CLAUDE_CODE_USE_VERTEX": "",
    "CLAUDE_CODE_USE_FOUNDRY": "",
}
_MODELS = (
    "ANTHROPIC_SMALL_FAST_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "CLAUDE_CODE_SUBAGENT_MODEL",
)
"""What it would ask for chores: all the same here, for the gateway lets no other through."""


class _Connection(Struct, frozen=True):
    name: str
    status: str


class _System(Struct, frozen=True, tag="system"):
    subtype: Literal["init", "api_retry", "status", "thinking_tokens", "ui_invalidate"]
    mcp_servers: list[_Connection] = []
    error: str = ""
    error_status: int | None = None
    retry_delay_ms: float = 0


class _Delta(Struct, frozen=True):
    text: str = ""
    thinking: str = ""


class _Event(Struct, frozen=True):
    type: str
    delta: _Delta = _Delta()


class _Partial(Struct, frozen=True, tag="stream_event"):
    event: _Event


class _Block(Struct, frozen=True):
    """A block of any type, or what is used of it."""

    type: str
    text: str = ""
    thinking: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")
    tool_use_id: str = ""
    content: "str | list[_Block]" = ""
    is_error: bool | None = None


class _Message(Struct, frozen=True):
    content: str | list[_Block]

    @property
    def blocks(self) -> list[_Block]:
        return [_Block("text", text=self.content)] if isinstance(self.content, str) else self.content


class _Assistant(Struct, frozen=True, tag="assistant"):
    message: _Message
    is_api_error_message: bool = False


class _User(Struct, frozen=True, tag="user"):
    message: _Message


class _Progress(Struct, frozen=True, tag="tool_progress"):
    """A tool is still at work."""


class _Used(Struct, frozen=True, rename="camel"):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cost: float | None = msgspec.field(name="costUSD", default=None)


class _Result(Struct, frozen=True, tag="result"):
    subtype: str
    is_error: bool
    result: str = ""
    api_error_status: int | None = None
    num_turns: int = 1
    """0 for a prompt such as `/context`, which is a command of its own."""
    used: dict[str, _Used] = msgspec.field(name="model_usage_since_last_result", default_factory=dict[str, _Used])


_decoder = msgspec.json.Decoder(_System | _Partial | _Assistant | _User | _Progress | _Result)


class ClaudeCode:
    def __init__(self, task: Task, access: Access, own: Path) -> None:
        self._task = task
        self._access = access
        self._own = own
        self._servers = read_servers(task.mcp)
        self._streamed = ""
        """What was said of the block that is being said."""
        self._result: _Result | None = None

    def command(self) -> list[str]:
        command = [installed(self._task, _PROGRAM), *_OPTIONS, f"--model={self._task.model}"]
        if self._servers:
            servers = {name: _configured(server) for name, server in self._servers.items()}
            # In a file, for others can read a command line, and what servers are told may be secret.
            told = self._own / "servers.json"
            told.write_text(json.dumps({"mcpServers": servers}), "utf-8")
            command.append(f"--mcp-config={told}")
        return command

    def environment(self) -> dict[str, str]:
        models = dict.fromkeys(_MODELS, self._task.model)
        return {**_VARIABLES, **messages_variables(self._access), **models, "CLAUDE_CONFIG_DIR": str(self._own)}

    def read(self, line: bytes, transcript: Transcript) -> None:
        match _decoder.decode(line):
            case _System() as system:
                _read_system(system, transcript)
            case _Partial(event):
                self._read_partial(event, transcript)
            case _Assistant(message) as assistant if not assistant.is_api_error_message:  # the result tells those
                self._read_assistant(message, transcript)
            case _User(message):
                for block in message.blocks:
                    if block.type == "tool_result":
                        transcript.returned(block.tool_use_id, _text(block.content), ok=not block.is_error)
            case _Result() as result:
                self._result = result
                for model, used in result.used.items():
                    transcript.used(_usage(model, used))
            case _:
                pass

    def ended(self, ended: CommandEnded) -> Ended:
        result = self._result
        if result is not None and result.is_error:
            if result.subtype != "success":  # so it is when a call failed
                return Ended(Outcome.GAVE_UP, f"claude ended with {result.subtype}")
            # It says this of any 403, which need not be about the token.
            return call_failed(result.result.removeprefix("Failed to authenticate. "), result.api_error_status)
        if result is None or ended.status != 0:
            return failed("claude", ended)
        if result.num_turns == 0:
            return Ended(Outcome.GAVE_UP, f"claude asked no model: {result.result}")
        return Ended(Outcome.SUBMITTED)

    def _read_partial(self, event: _Event, transcript: Transcript) -> None:
        if event.type in {"message_start", "content_block_start"}:
            transcript.close()
            self._streamed = ""
        if piece := event.delta.text or event.delta.thinking:
            self._streamed += piece
            transcript.said(piece, is_thought=not event.delta.text)

    def _read_assistant(self, message: _Message, transcript: Transcript) -> None:
        """Tell of one block, which is whole now, and said already unless the answer did not come in pieces."""
        for block in message.blocks:
            if block.type == "tool_use":
                transcript.called(block.id, block.name, bytes(block.input).decode())
            elif rest := (block.text or block.thinking).removeprefix(self._streamed):
                transcript.said(rest, is_thought=not block.text)
            self._streamed = ""
            transcript.close()


def _read_system(system: _System, transcript: Transcript) -> None:
    for server in system.mcp_servers:
        if server.status != "connected":
            transcript.give_up(f"the MCP server {server.name!r} is {server.status}, not connected", "mcp.failed")
    if system.subtype == "api_retry":
        status = f" with status {system.error_status}" if system.error_status else ""
        transcript.waiting(f"a model call failed{status}: {system.error}", system.retry_delay_ms / 1000)


def _configured(server: Server) -> dict[str, object]:
    if server.url:
        return {"type": "http", "url": server.url}
    program, *arguments = command_of(server)
    return {"command": program, "args": arguments, "env": server.env}


def _text(content: str | list[_Block]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block.text if block.type == "text" else f"[{block.type}]" for block in content)


def _usage(model: str, used: _Used) -> partial[Usage]:
    usage = partial(Usage, model=model, cost_usd=used.cost)
    usage = partial(usage, input_tokens=used.input_tokens, output_tokens=used.output_tokens)
    cached, written = used.cache_read_input_tokens, used.cache_creation_input_tokens
    return partial(usage, cache_read_tokens=cached, cache_write_tokens=written)
