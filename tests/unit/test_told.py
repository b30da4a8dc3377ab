"""A task that is told on stdin: the harness does it as if it stood in its command line, where it does not stand."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from harness_process import HARNESS, Printed, environment
from test_scripted import turns

from agent_image.events import Outcome, ToolReturned

LOOK = "env; tr '\\0' ' ' < /proc/$PPID/cmdline; echo; cat; readlink /proc/self/fd/0"


def tell(stdin: bytes, directory: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*HARNESS, "--task-from-stdin"],
        cwd=directory,
        env=environment({"RUN_ID": "r1"}),
        input=stdin,
        capture_output=True,
        check=False,
        timeout=50,
    )


def do(directory: Path, arguments: Sequence[str], **environ: str) -> Printed:
    ended = tell(json.dumps({"arguments": arguments, "environ": environ}).encode(), directory)
    return Printed(ended.returncode, ended.stdout.splitlines(keepends=True), ended.stderr)


def test_what_it_is_told_is_for_it_alone_and_variables_for_commands_too(tmp_path: Path):
    secret = {"AIDEATOR_GATEWAY": "http://127.0.0.1:9", "AIDEATOR_TOKEN": "a-token", "PROMPT": "another"}
    asked = ["--agent=command", f"--command={LOOK}", "--prompt=a secret"]
    lines = do(tmp_path, asked, **secret, XDG_CACHE_HOME="/cache").output().decode().splitlines()
    assert {"RUN_ID=r1", "XDG_CACHE_HOME=/cache", "PROMPT=a secret"} <= set(lines)
    assert not [line for line in lines if line.startswith("AIDEATOR_")]
    assert [line for line in lines if line.endswith("agent_image --task-from-stdin ")]
    assert not [line for line in lines if "--prompt" in line]
    assert lines[-1] == "/dev/null"


def test_a_prompt_may_be_longer_than_an_argument(tmp_path: Path):
    printed = do(tmp_path, ["--prompt=" + "é" * 150_000])
    assert (printed.status, printed.finished.outcome) == (0, Outcome.SUBMITTED)


def test_our_own_servers_are_started_all_the_same(tmp_path: Path):
    play = turns(("files__write", {"path": "made", "content": "hello"}), ("submit", {}))
    script = tmp_path / ".aideator/scripts/0.json"
    script.parent.mkdir(parents=True)
    script.write_text(json.dumps(play))
    printed = do(tmp_path, ["--prompt=x", '--mcp={"files": {"serve": "files"}}'])
    assert printed.all(ToolReturned)[0].text == "wrote 5 bytes to made"


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {},
        {"arguments": "--prompt=x"},
        {"arguments": ["--prompt=x"], "more": 1},
        {"arguments": ["--prompt=x"], "environ": {"A=B": "x"}},
        {"arguments": ["--prompt=x"], "environ": {"A": "\0"}},
        {"arguments": ["--prompt=x", "--task-from-stdin"]},
        {"arguments": []},
    ],
)
def test_anything_else_is_refused_in_a_line(tmp_path: Path, told: Any):
    check_refused(tell(json.dumps(told).encode(), tmp_path))


@pytest.mark.parametrize("stdin", [b"", b"{", b'{"arguments": ["a secret', b'"\xff"'])
def test_what_is_no_json_is_refused_in_a_line_that_does_not_repeat_it(tmp_path: Path, stdin: bytes):
    ended = tell(stdin, tmp_path)
    check_refused(ended)
    assert b"secret" not in ended.stderr


def check_refused(ended: subprocess.CompletedProcess[bytes]) -> None:
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert len(ended.stderr.splitlines()) == 1
