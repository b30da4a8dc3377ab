"""Codex's output, as the real one printed it, in the log; and what it is started with."""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from played_agents import GATEWAY, PlayedAgent, answers, calls, printing, texts

from agent_image.events import Outcome, Usage


@pytest.fixture
def agent(tmp_path: Path) -> PlayedAgent:
    return PlayedAgent("codex", tmp_path)


def configuration(agent: PlayedAgent) -> dict[str, Any]:
    """What it is given by `--config`, read as it reads it."""
    given = [argument.partition("=")[2] for argument in agent.arguments if argument.startswith("--config=")]
    return {
        name: tomllib.loads(f"value = {value}")["value"] for name, _, value in (line.partition("=") for line in given)
    }


def test_what_it_says_thinks_and_does_is_in_the_log(agent: PlayedAgent):
    printed = agent.play_recorded("codex_normal")
    assert (printed.status, printed.finished.outcome) == (0, Outcome.SUBMITTED)
    assert texts(printed, thoughts=True) == ["I should make a file."]
    assert texts(printed) == ["I make the file.", "Done: the file is there."]
    command = "/bin/bash -c 'echo made > made.txt; cat made.txt'"
    assert calls(printed) == [("item_3", "command_execution", {"command": command})]
    assert answers(printed) == [("item_3", True, "made\n")]
    assert printed.output() == b""


def test_its_warnings_are_shown_and_end_nothing(agent: PlayedAgent):
    printed = agent.play_recorded("codex_normal")
    assert printed.output("stderr").startswith(b"Model metadata for `gpt-5` not found.")


def test_its_usage_is_what_it_says_of_itself(agent: PlayedAgent):
    (usage,) = agent.play_recorded("codex_normal").all(Usage)
    tokens = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
    assert (usage.model, tokens, usage.cost_usd) == ("gpt-5", (200, 100, 40, 0), None)


def test_calls_side_by_side_are_told_apart(agent: PlayedAgent):
    printed = agent.play_recorded("codex_parallel")
    assert [call for call, _, _ in calls(printed)] == ["item_3", "item_4"]
    assert answers(printed) == [("item_3", False, "two\n"), ("item_4", True, "one\n")]


def test_changed_files_are_a_call(agent: PlayedAgent):
    printed = agent.play_recorded("codex_patch")
    changes = [{"path": "/workspace/p.txt", "kind": "add"}]
    assert calls(printed) == [("item_1", "file_change", {"changes": changes})]
    assert answers(printed) == [("item_1", True, "completed")]


def test_calls_of_mcp_servers_are_calls(agent: PlayedAgent):
    printed = agent.play_recorded("codex_mcp")
    tool = "mcp__files__read_file"
    assert calls(printed) == [("item_2", tool, {"path": "bad"}), ("item_3", tool, {"path": "a.txt"})]
    assert answers(printed) == [
        ("item_2", False, "Error executing tool read_file"),
        ("item_3", True, "content of a.txt"),
    ]


@pytest.mark.parametrize(
    ("item", "tool", "arguments", "answer"),
    [
        ({"type": "web_search", "query": "q"}, "web_search", {"query": "q"}, (True, "")),
        ({"type": "new_kind", "status": "failed", "x": [1]}, "new_kind", {"x": [1]}, (False, "failed")),
        (
            {"type": "mcp_tool_call", "server": "s", "tool": "t", "arguments": None, "error": {"message": "gone"}},
            "mcp__s__t",
            None,
            (False, "gone"),
        ),
    ],
)
def test_what_is_only_told_when_it_is_done_is_a_call_too(
    agent: PlayedAgent, item: dict[str, Any], tool: str, arguments: object, answer: tuple[bool, str]
):
    printed = agent.play(printing(json.dumps({"type": "item.completed", "item": {"id": "item_9", **item}})))
    assert calls(printed) == [("item_9", tool, arguments)]
    assert answers(printed) == [("item_9", *answer)]


def test_a_call_that_is_still_at_work_at_the_end_has_not_worked(agent: PlayedAgent):
    started = {"type": "item.started", "item": {"id": "item_1", "type": "command_execution", "command": "sleep 60"}}
    printed = agent.play(printing(json.dumps(started), '{"type": "turn.completed", "usage": {}}'))
    assert printed.finished.outcome is Outcome.SUBMITTED
    assert answers(printed) == [("item_1", False, "it was still at work when the agent ended")]


def test_an_answer_that_broke_off_goes_on(agent: PlayedAgent):
    printed = agent.play_recorded("codex_resumed")
    assert printed.finished.outcome is Outcome.SUBMITTED
    assert b"Reconnecting... 1/2" in printed.output("stderr")


@pytest.mark.parametrize(
    ("recording", "reason", "code"),
    [
        ("refused", "unexpected status 403 Forbidden: The budget of this work is spent. (llm.budget)", "llm.budget"),
        ("bad_request", "The budget of this work is spent. (llm.budget)", "llm.budget"),
        ("rate_limited", "exceeded retry limit, last status: 429 Too Many Requests", "llm.rate_limited"),
    ],
)
def test_a_turn_that_failed_is_the_reason(agent: PlayedAgent, recording: str, reason: str, code: str):
    printed = agent.play_recorded(f"codex_{recording}", status=1)
    assert (printed.status, printed.finished.outcome) == (3, Outcome.GAVE_UP)
    assert (printed.finished.reason, printed.finished.code) == (reason, code)


@pytest.mark.parametrize(
    ("message", "reason", "code"),
    [
        ('{"error": {"message": "too long", "code": "x"}}', "too long", "llm.refused"),
        (
            "unexpected status 502 Bad Gateway: oh, url: http://g/v1",
            "unexpected status 502 Bad Gateway: oh",
            "llm.unavailable",
        ),
        ("unexpected status 403 Forbidden: no", "unexpected status 403 Forbidden: no", ""),
        ("stream disconnected before completion", "stream disconnected before completion", "llm.failed"),
    ],
)
def test_a_failure_is_told_in_words_and_for_programs(agent: PlayedAgent, message: str, reason: str, code: str):
    failed = json.dumps({"type": "turn.failed", "error": {"message": message}})
    finished = agent.play(f"{printing(failed)}; exit 1").finished
    assert (finished.outcome, finished.reason, finished.code) == (Outcome.GAVE_UP, reason, code)


def test_a_server_that_it_does_not_reach_is_the_reason(agent: PlayedAgent):
    reason = "required MCP servers failed to initialize: gone: No such file or directory (os error 2)"
    finished = agent.play(f"echo 'ERROR codex: {reason}' >&2; echo '   9: <unknown>' >&2; exit 1").finished
    assert (finished.outcome, finished.reason, finished.code) == (Outcome.GAVE_UP, reason, "mcp.failed")


def test_a_turn_that_is_complete_with_a_bad_exit_status_is_none(agent: PlayedAgent):
    finished = agent.play_recorded("codex_normal", status=9).finished
    assert finished.outcome is Outcome.GAVE_UP
    assert finished.reason.startswith("codex ended with status 9")


def test_it_asks_the_gateway_alone(agent: PlayedAgent):
    agent.play("")
    given = configuration(agent)
    provider = given[f"model_providers.{given['model_provider']}"]
    assert (provider["base_url"], provider["wire_api"]) == (f"{GATEWAY}/v1", "responses")
    assert agent.environment[provider["env_key"]] == "a-token"
    assert (given["analytics.enabled"], given["features.plugins"]) == (False, False)
    assert (agent.arguments[0], agent.arguments[-1]) == ("exec", "-")


def test_it_is_told_of_the_servers(agent: PlayedAgent):
    servers = {
        "files": {"command": ["python3", "-m", "server"], "env": {"A": 'é "\\\n\x7f 😀'}},
        "web": {"url": "http://web.example/mcp"},
        "repository": {"serve": "files"},
    }
    agent.play("", f"--mcp={json.dumps(servers)}")
    configured = tomllib.loads((agent.own / "config.toml").read_text())["mcp_servers"]
    assert not any("mcp_servers" in argument for argument in agent.arguments)
    assert configured["files"]["command"] == "python3"
    assert configured["files"]["args"] == ["-m", "server"]
    assert configured["files"]["env"] == {"A": 'é "\\\n\x7f 😀'}
    assert configured["web"]["url"] == "http://web.example/mcp"
    assert configured["repository"]["command"] == sys.executable
    assert configured["repository"]["args"][-1] == "--serve=files"
    assert all(server["required"] for server in configured.values())
