"""Agents that are a program: it reads the prompt on stdin, works, and prints a JSON object a line."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Protocol

import anyio

from agent_image.agents.access import past_proxies
from agent_image.agents.transcript import JsonLines, Transcript
from agent_image.emitter import Emitter
from agent_image.events import Outcome
from agent_image.result import Ended
from agent_image.shell import CommandEnded, Shell
from agent_image.task import Access, Task

_PLACE = "/var/tmp"  # noqa: S108 what is made there has a name of its own
"""Where an agent's own files are: Codex links no helpers below /tmp."""
_TRACING = ("OTEL_", "TRACEPARENT", "TRACESTATE")
"""Variables by which an engine would have programs report to it."""
_CODE = re.compile(r"\bllm\.[a-z_]+\b")
_CODES = {401: "", 403: "", 413: "llm.request_too_large", 429: "llm.rate_limited"}
"""What a status means, where it means one thing."""
_SERVER_ERROR = 500


class CommandLineAgent(Protocol):
    """One such program at work on one task."""

    def command(self) -> list[str]: ...

    def environment(self) -> dict[str, str]:
        """The variables that it wants besides those of any command; an empty one hides one of theirs."""
        ...

    def read(self, line: bytes, transcript: Transcript) -> None:
        """Tell what a line of its stdout says.

        Raises:
            msgspec.DecodeError: it is nothing that is known; it will be shown as it is.

        """
        ...

    def ended(self, ended: CommandEnded) -> Ended:
        """Say what came of the work, by what was read and how the program ended."""
        ...


async def work(
    agent: Callable[[Task, Access, Path], CommandLineAgent], task: Task, shell: Shell, emitter: Emitter
) -> Ended:
    """Run the agent that `agent` makes of its task, the way to its models and a directory for its own files."""
    assert task.access is not None
    place = _PLACE if os.access(_PLACE, os.W_OK | os.X_OK) else None
    with (
        TemporaryDirectory(prefix="aideator-", dir=place, ignore_cleanup_errors=True) as own,
        TemporaryFile(dir=own) as prompt,
    ):
        prompt.write(task.prompt.encode(errors="replace"))
        prompt.seek(0)
        return await _run(agent(task, task.access, Path(own)), task.access, shell, emitter, stdin=prompt.fileno())


def installed(task: Task, path: str) -> str:
    """Where a program is: at `path` in the agent's packages, or wherever PATH has one of that name."""
    program = task.agent_home / "site" / path
    return str(program) if program.exists() else program.name


def call_failed(reason: str, status: int | None = None) -> Ended:
    """Return the end of an agent whose model call failed: with that status, or None where an answer broke off.

    Its code is the gateway's where that stands in the reason, for the programs tell no more of an answer.
    """
    code = _CODE.search(reason)
    return Ended(Outcome.GAVE_UP, reason, code[0] if code else _meaning(status))


def failed(name: str, ended: CommandEnded) -> Ended:
    """Return the end of a program that has not told itself what was wrong, with its last words."""
    lines = [line for line in ended.seen.splitlines() if line.strip()]
    words = next((line for line in reversed(lines) if line.startswith("Error")), lines[-1] if lines else "")
    return Ended(Outcome.GAVE_UP, f"{name} {ended}: {words}" if words else f"{name} {ended}")


async def _run(agent: CommandLineAgent, access: Access, shell: Shell, emitter: Emitter, *, stdin: int) -> Ended:
    theirs = {name: value for name, value in shell.environment.items() if not name.startswith(_TRACING)}
    environment = {**theirs, **past_proxies(access, theirs), **agent.environment()}
    scope = anyio.CancelScope()
    transcript = Transcript(emitter, shell.budget, stop=scope.cancel)
    output = JsonLines(emitter, shell.budget, read=agent.read, transcript=transcript)
    with scope:
        ended = await shell.execute(agent.command(), environment=environment, stdin=stdin, output=output)
        return transcript.gave_up or agent.ended(ended)
    assert transcript.gave_up is not None
    return transcript.gave_up


def _meaning(status: int | None) -> str:
    if status is None:
        return "llm.failed"
    return _CODES.get(status, "llm.unavailable" if status >= _SERVER_ERROR else "llm.refused")
