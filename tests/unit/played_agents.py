"""Agents that are programs, played: what the real ones printed, from a program of the same name."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness_process import HARNESS, Printed, run

from agent_image.events import Said, ToolCalled, ToolReturned

RECORDED = Path(__file__).parent / "recorded"
GATEWAY = "http://127.0.0.1:9"
PROGRAMS = {"claude-code": "claude_agent_sdk/_bundled/claude", "codex": "codex_cli_bin/bin/codex"}
ASKED = {
    "claude-code": ["--wire=messages", "--model=claude-sonnet-4-5"],
    "codex": ["--wire=responses", "--model=gpt-5"],
}


class PlayedAgent:
    """A program in the place of an agent's, and what it was started with."""

    def __init__(self, agent: str, directory: Path) -> None:
        self._agent = agent
        self._home = directory / "home"
        self._seen = directory / "seen"
        self._workspace = directory / "workspace"
        self._seen.mkdir()
        self._workspace.mkdir()

    def play(
        self,
        script: str,
        *arguments: str,
        prompt: str = "do it",
        variables: Mapping[str, str] | None = None,
        python: Sequence[str] = HARNESS,
    ) -> Printed:
        """Run the harness with a program that ends as `script` does."""
        program = self._home / "site" / PROGRAMS[self._agent]
        program.parent.mkdir(parents=True)
        seen = shlex.quote(str(self._seen))
        notes = f"printf '%s\\0' \"$@\" > {seen}/arguments; env -0 > {seen}/environment; cat > {seen}/stdin"
        notes += f'; cp -r "${{CLAUDE_CONFIG_DIR:-$CODEX_HOME}}" {seen}/own'
        program.write_text(f"#!/bin/sh\n{notes}\n{script}\n")
        program.chmod(0o755)
        return run(
            *(f"--agent={self._agent}", f"--agent-home={self._home}", f"--prompt={prompt}", *ASKED[self._agent]),
            *arguments,
            directory=self._workspace,
            variables={"AIDEATOR_GATEWAY": GATEWAY, "AIDEATOR_TOKEN": "a-token", **(variables or {})},
            python=python,
        )

    def play_recorded(self, name: str, *arguments: str, status: int = 0) -> Printed:
        return self.play(f"cat {shlex.quote(str(RECORDED / name))}.jsonl; exit {status}", *arguments)

    @property
    def stdin(self) -> bytes:
        return (self._seen / "stdin").read_bytes()

    @property
    def own(self) -> Path:
        """A copy of the folder for its own files, as it found that."""
        return self._seen / "own"

    @property
    def arguments(self) -> list[str]:
        return (self._seen / "arguments").read_text().split("\0")[:-1]

    @property
    def environment(self) -> dict[str, str]:
        lines = (self._seen / "environment").read_text().split("\0")[:-1]
        return dict(line.split("=", 1) for line in lines)


def printing(*lines: str) -> str:
    """A script that prints these lines."""
    return "; ".join(f"printf '%s\\n' {shlex.quote(line)}" for line in lines)


def texts(printed: Printed, *, thoughts: bool = False) -> list[str]:
    """What was said, or thought; each text whole."""
    whole: list[str] = []
    for event in printed.all(Said):
        if event.thought == thoughts:
            whole += [""] if event.part == 0 else []
            whole[-1] += event.text
    return whole


def calls(printed: Printed) -> list[tuple[str, str, Any]]:
    """Each call's id, tool and arguments."""
    return [(event.call, event.tool, json.loads(event.text)) for event in printed.all(ToolCalled)]


def answers(printed: Printed) -> list[tuple[str, bool, str]]:
    """Each answer's call, whether that went well, and the text."""
    return [(event.call, event.ok, event.text) for event in printed.all(ToolReturned)]
