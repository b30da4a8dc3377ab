"""Claude Code's output, as the real one printed it, in the log; and what it is started with."""

import json
import shlex
import sys
from pathlib import Path

import pytest
from played_agents import GATEWAY, RECORDED, PlayedAgent, answers, calls, printing, texts

from agent_image.events import Outcome, Usage, Waiting

MODEL = "claude-sonnet-4-5"


@pytest.fixture
def agent(tmp_path: Path) -> PlayedAgent:
    return PlayedAgent("claude-code", tmp_path)


def test_what_it_says_thinks_and_does_is_in_the_log(agent: PlayedAgent):
    printed = agent.play_recorded("claude_code_normal")
    assert (printed.status, printed.finished.outcome) == (0, Outcome.SUBMITTED)
    assert texts(printed, thoughts=True) == ["I should make a file."]
    assert texts(printed) == ["I make the file.", "Done: the file ", "is there."]
    assert calls(printed) == [
        ("toolu_1", "Bash", {"command": "echo made > made.txt; cat made.txt", "description": "Make it"})
    ]
    assert answers(printed) == [("toolu_1", True, "made")]
    assert printed.output() == b""


def test_what_it_says_is_said_once_whether_it_comes_in_pieces_or_whole(agent: PlayedAgent):
    whole = f"grep -v stream_event {shlex.quote(str(RECORDED))}/claude_code_normal.jsonl"
    printed = agent.play(whole)
    assert texts(printed, thoughts=True) == ["I should make a file."]
    assert texts(printed) == ["I make the file.", "Done: the file ", "is there."]


def test_its_usage_is_what_it_says_of_itself(agent: PlayedAgent):
    printed = agent.play_recorded("claude_code_normal")
    (usage,) = printed.all(Usage)
    tokens = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
    assert (usage.model, tokens, usage.cost_usd) == (MODEL, (200, 100, 40, 60), pytest.approx(0.002337))
    assert usage.variation is None


def test_calls_side_by_side_are_told_apart(agent: PlayedAgent):
    printed = agent.play_recorded("claude_code_parallel")
    assert [call for call, _, _ in calls(printed)] == ["toolu_1", "toolu_2"]
    assert answers(printed) == [("toolu_1", True, "one"), ("toolu_2", False, "Exit code 3\ntwo")]


def test_calls_of_mcp_servers_are_calls(agent: PlayedAgent):
    printed = agent.play_recorded("claude_code_mcp")
    tool = "mcp__files__read_file"
    assert calls(printed) == [("toolu_1", tool, {"path": "a.txt"}), ("toolu_2", tool, {"path": "bad"})]
    assert [ok for _, ok, _ in answers(printed)] == [True, False]


def test_a_server_that_it_does_not_reach_ends_it_at_once(agent: PlayedAgent):
    recorded = shlex.quote(str(RECORDED / "claude_code_no_server.jsonl"))
    printed = agent.play(f"cat {recorded}; sleep 1000", '--mcp={"gone": {"command": ["/no/such"]}}')
    finished = printed.finished
    assert (finished.outcome, finished.code) == (Outcome.GAVE_UP, "mcp.failed")
    assert finished.reason == "the MCP server 'gone' is failed, not connected"


def test_an_answer_that_broke_off_goes_on(agent: PlayedAgent):
    printed = agent.play_recorded("claude_code_resumed")
    assert printed.finished.outcome is Outcome.SUBMITTED
    assert texts(printed) == ["I make the file.", "I make the file.", "Done: the file ", "is there."]


def test_its_waits_are_shown_and_the_end_has_the_reason(agent: PlayedAgent):
    printed = agent.play_recorded("claude_code_retried", status=1)
    waits = [(event.reason, event.for_s) for event in printed.all(Waiting)]
    reason = "a model call failed with status 529: overloaded"
    assert waits == [(reason, pytest.approx(0.619)), (reason, pytest.approx(1.053))]
    assert printed.finished.outcome is Outcome.GAVE_UP
    assert printed.finished.reason.startswith("API Error: 529 ")
    assert printed.finished.code == "llm.unavailable"


@pytest.mark.parametrize(
    ("recording", "reason", "code"),
    [
        ("refused", "API Error: 403 The budget of this work is spent. (llm.budget)", "llm.budget"),
        ("too_large", "Request too large (max 32MB).", "llm.request_too_large"),
    ],
)
def test_a_refused_call_is_told_once_as_the_reason(agent: PlayedAgent, recording: str, reason: str, code: str):
    printed = agent.play_recorded(f"claude_code_{recording}", status=1)
    assert (printed.status, printed.finished.outcome) == (3, Outcome.GAVE_UP)
    assert printed.finished.reason.startswith(reason)
    assert printed.finished.code == code
    assert texts(printed) == []


def test_an_error_is_one_whatever_the_exit_status(agent: PlayedAgent):
    assert agent.play_recorded("claude_code_refused", status=0).finished.outcome is Outcome.GAVE_UP


@pytest.mark.parametrize(
    ("result", "reason", "code"),
    [
        (
            {"is_error": True, "result": "API Error: 400 too long", "api_error_status": 400},
            "API Error: 400 too long",
            "llm.refused",
        ),
        ({"is_error": True, "result": "API Error: Connection lost"}, "API Error: Connection lost", "llm.failed"),
        ({"is_error": True, "subtype": "error_max_turns"}, "claude ended with error_max_turns", ""),
        (
            {"is_error": False, "num_turns": 0, "result": "Nothing to compact"},
            "claude asked no model: Nothing to compact",
            "",
        ),
    ],
)
def test_a_result_that_is_none_has_a_reason(agent: PlayedAgent, result: dict[str, object], reason: str, code: str):
    finished = agent.play(printing(json.dumps({"type": "result", "subtype": "success", **result}))).finished
    assert (finished.outcome, finished.reason, finished.code) == (Outcome.GAVE_UP, reason, code)


def test_what_says_only_that_it_is_alive_is_not_shown(agent: PlayedAgent):
    alive = '{"type": "tool_progress", "tool_use_id": "t", "tool_name": "Bash", "elapsed_time_seconds": 30}'
    assert agent.play(printing(alive)).output() == b""


def test_a_good_result_with_a_bad_exit_status_is_none(agent: PlayedAgent):
    finished = agent.play_recorded("claude_code_normal", status=9).finished
    assert (finished.outcome, finished.reason) == (Outcome.GAVE_UP, "claude ended with status 9")


def test_it_asks_the_gateway_alone_and_one_model(agent: PlayedAgent):
    agent.play("", variables={"ANTHROPIC_AUTH_TOKEN": "of the image", "CLAUDE_CODE_USE_BEDROCK": "1"})
    found = agent.environment
    assert (found["ANTHROPIC_BASE_URL"], found["ANTHROPIC_API_KEY"]) == (GATEWAY, "a-token")
    assert (found["ANTHROPIC_AUTH_TOKEN"], found["CLAUDE_CODE_USE_BEDROCK"]) == ("", "")
    assert {value for name, value in found.items() if name.endswith("_MODEL")} == {MODEL}
    assert found["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] == "1"


def test_it_is_told_of_the_servers_and_of_no_others(agent: PlayedAgent):
    servers = {
        "files": {"command": ["python3", "-m", "server"], "env": {"A": "é"}},
        "web": {"url": "http://web.example/mcp"},
        "repository": {"serve": "git"},
    }
    agent.play("", f"--mcp={json.dumps(servers)}")
    assert "--strict-mcp-config" in agent.arguments
    (given,) = [argument for argument in agent.arguments if argument.startswith("--mcp-config=")]
    configured = json.loads((agent.own / Path(given).name).read_text())["mcpServers"]
    assert configured["files"] == {"command": "python3", "args": ["-m", "server"], "env": {"A": "é"}}
    assert configured["web"] == {"type": "http", "url": "http://web.example/mcp"}
    assert configured["repository"]["command"] == sys.executable
    assert configured["repository"]["args"][-2:] == ["agent_image", "--serve=git"]
