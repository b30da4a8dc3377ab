"""The built-in agent with MCP servers, through the harness."""

import json
from pathlib import Path
from typing import Any

import pytest
from harness_process import Printed, is_gone, pids, start, terminate
from mcp_programs import STDIO, http_server
from test_scripted import play, turns

from agent_image.events import Finished, Outcome, ToolReturned, decode_line


def play_with(
    directory: Path, servers: dict[str, Any], *calls: tuple[str, dict[str, Any]], timeout_s: float = 45
) -> Printed:
    return play(directory, turns(*calls), f"--mcp={json.dumps(servers)}", f"--timeout={timeout_s}")


def answers(printed: Printed) -> list[str]:
    return [event.text for event in printed.all(ToolReturned)]


def test_a_model_uses_our_own_servers_and_one_of_the_repositorys(tmp_path: Path):
    printed = play_with(
        tmp_path,
        {"files": {"serve": "files"}, "git": {"serve": "git"}, "tests": STDIO},
        ("run", {"command": "git init --quiet --initial-branch=main && rm -f pids"}),
        ("files__write", {"path": "src/a.txt", "content": "hello"}),
        ("git__add", {"paths": ["src"]}),
        ("tests__echo", {"text": "hé"}),
        ("run", {"command": "cat src/a.txt"}),
        ("submit", {}),
    )
    assert printed.finished.outcome is Outcome.SUBMITTED
    assert printed.stderr == b""
    assert answers(printed)[1:4] == [
        "wrote 5 bytes to src/a.txt",
        "## No commits yet on main\nA  src/a.txt\n?? .aideator/scripts/0.json\n",
        "hé",
    ]


def test_a_command_that_is_killed_at_its_time_limit_leaves_the_servers_alone(tmp_path: Path):
    printed = play_with(
        tmp_path,
        {"tests": STDIO},
        ("run", {"command": "sleep 1000", "timeout_s": 0.5}),
        ("tests__echo", {"text": "still here"}),
        ("submit", {}),
    )
    assert answers(printed)[1] == "still here"


def test_many_short_processes_do_not_disturb_a_server(tmp_path: Path):
    """All of them are reaped by the harness, which must not take the server's end for another's, or the reverse."""
    crowd = "for i in $(seq 200); do true & done; for i in $(seq 100); do sh -c 'sleep 0.01 & exit'; done"
    printed = play_with(
        tmp_path,
        {"tests": STDIO, "other": STDIO},
        ("run", {"command": crowd}),
        ("tests__crash", {}),
        ("run", {"command": crowd}),
        ("other__echo", {"text": "still here"}),
        ("submit", {}),
    )
    said = answers(printed)
    assert said[1] == "error: the MCP server 'tests' failed: it ended with status 7: I am done for"
    assert said[3] == "still here"
    assert b"I am done for\n" in printed.output("stderr")
    assert printed.stderr == b""


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ({"command": ["no-such-program"]}, "No such file or directory: 'no-such-program'"),
        ({"command": ["sh", "-c", "echo what >&2; exit 3"]}, "it ended with status 3: what"),
    ],
)
def test_an_agent_whose_server_cannot_be_used_gives_up(tmp_path: Path, server: Any, reason: str):
    printed = play_with(tmp_path, {"bad": server}, ("submit", {}))
    assert (printed.status, printed.finished.outcome) == (3, Outcome.GAVE_UP)
    assert printed.finished.reason.startswith("the MCP server 'bad' cannot be used: ")
    assert reason in printed.finished.reason


def test_a_deadline_while_a_server_starts_is_kept_and_told(tmp_path: Path):
    server = {"command": ["sh", "-c", "trap '' TERM; echo $$ >> pids; while :; do sleep 1; done"]}
    printed = play_with(tmp_path, {"slow": server}, ("submit", {}), timeout_s=5)
    assert (printed.status, printed.finished.outcome) == (124, Outcome.TIMED_OUT)
    assert all(is_gone(pid) for pid in pids(tmp_path / "pids"))


@pytest.mark.parametrize("tool", ["hang", "stop_reading"])
@pytest.mark.parametrize("kind", ["stdio", "http"])
def test_a_harness_that_is_ended_in_the_middle_of_a_call_has_its_last_word(tmp_path: Path, kind: str, tool: str):
    with http_server(tmp_path.parent) as url:
        server = STDIO if kind == "stdio" else {"url": url}
        script = tmp_path / ".aideator/scripts/0.json"
        script.parent.mkdir(parents=True)
        script.write_text(json.dumps(turns((f"tests__{tool}", {}))))
        with start("--prompt=x", f"--mcp={json.dumps({'tests': server})}", directory=tmp_path) as process:
            assert process.stdout
            while b"tool_called" not in (line := process.stdout.readline()):
                assert line
            terminate(process)
            events = [decode_line(line) for line in process.stdout]
            assert process.wait(timeout=20) == 70
    assert isinstance(events[-1], Finished)
    assert all(is_gone(pid) for pid in pids(tmp_path / "pids"))
