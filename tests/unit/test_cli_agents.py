"""Agents that are programs, as the harness runs them: what any of them is given, and what becomes of any output."""

import json
import sys
from pathlib import Path

import pytest
from harness_process import SMALL_LIMITS, is_gone, pids, run
from played_agents import GATEWAY, PROGRAMS, PlayedAgent, printing, texts

from agent_image.events import Outcome, Started

SMALL = [sys.executable, "-W", "error", "-P", "-c", SMALL_LIMITS]
SAYING = {
    "claude-code": '{"type": "assistant", "message": {"content": [{"type": "text", "text": %s}]}}',
    "codex": '{"type": "item.completed", "item": {"id": "item_1", "type": "agent_message", "text": %s}}',
}


@pytest.fixture(params=PROGRAMS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def agent(kind: str, tmp_path: Path) -> PlayedAgent:
    return PlayedAgent(kind, tmp_path)


@pytest.mark.parametrize(
    "prompt", ["-p --help", "-- x", "/compact", "é\n$(id) 'x'", "x" * 100_000, "not UTF-8: \udcff"]
)
def test_the_prompt_is_what_the_program_reads(agent: PlayedAgent, prompt: str):
    agent.play("", prompt=prompt)
    assert agent.stdin == prompt.encode(errors="replace")
    assert prompt not in agent.arguments


def test_the_program_finds_its_models_and_nothing_that_would_mislead_it(kind: str, agent: PlayedAgent):
    tracing = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://engine", "TRACEPARENT": "00-1-2-01"}
    agent.play("", variables={**tracing, "NO_PROXY": "a.example", "TEAM_SETTING": "kept"})
    found = agent.environment
    assert "a-token" in found.values()
    assert (found["NO_PROXY"], found["no_proxy"]) == ("a.example,127.0.0.1",) * 2
    assert found["TEAM_SETTING"] == "kept"
    misleading = ("OTEL_", "TRACEPARENT", "AIDEATOR_", "PROMPT", "AGENT")
    assert not [name for name in found if name.startswith(misleading)]
    model = {"claude-code": "--model=claude-sonnet-4-5", "codex": "--model=gpt-5"}
    assert model[kind] in agent.arguments


def test_the_program_has_a_directory_of_its_own_that_goes_with_it(kind: str, agent: PlayedAgent, tmp_path: Path):
    variable = {"claude-code": "CLAUDE_CONFIG_DIR", "codex": "CODEX_HOME"}[kind]
    agent.play(f'touch "${variable}/mine"')
    own = Path(agent.environment[variable])
    assert not own.exists()
    assert tmp_path not in own.parents


def test_the_log_begins_with_agent_and_model(kind: str, agent: PlayedAgent):
    started = agent.play("").events[0]
    assert isinstance(started, Started)
    assert (started.agent, started.model) == (kind, {"claude-code": "claude-sonnet-4-5", "codex": "gpt-5"}[kind])


def test_lines_that_are_not_known_are_shown_as_they_were_printed(agent: PlayedAgent):
    lines = ["no JSON", "{", "[]", "", '{"type": "unheard.of"}', '{"type": 1}', '{"type": "system"}', "[" * 5000]
    printed = agent.play(f"{printing(*lines)}; echo oops >&2")
    shown = "".join(f"{line}\n" for line in lines).encode()
    assert (printed.output("stdout"), printed.output("stderr")) == (shown, b"oops\n")


def test_bytes_that_are_no_text_are_shown_too(agent: PlayedAgent):
    printed = agent.play(r"""printf '{"type": "system\377"}\n\0\n'; printf unfinished""")
    assert printed.output() == b'{"type": "system\xff"}\n\0\nunfinished'


def test_a_line_of_400_kb_is_read(kind: str, agent: PlayedAgent, tmp_path: Path):
    (tmp_path / "line").write_text(SAYING[kind] % json.dumps("x" * 400_000))
    printed = agent.play(f"cat {tmp_path}/line")
    assert texts(printed) == ["x" * 400_000]
    assert printed.output() == b""


def test_a_line_that_never_ends_is_output(kind: str, agent: PlayedAgent):
    said = printing(SAYING[kind] % '"after it"')
    printed = agent.play(f"head -c 20000000 /dev/zero | tr '\\0' x; echo; {said}")
    assert len(printed.output()) + printed.lost == 20_000_001
    assert texts(printed) == ["after it"]


def test_one_that_says_too_much_is_stopped(kind: str, agent: PlayedAgent, tmp_path: Path):
    said = printing(SAYING[kind] % json.dumps("x" * 1000))
    script = f"sleep 1000 & echo $! > {tmp_path}/pids; while true; do {said}; done"
    printed = agent.play(script, python=SMALL)
    assert (printed.finished.outcome, printed.status) == (Outcome.GAVE_UP, 3)
    assert printed.finished.reason == "the agent has printed all that it may"
    assert 10_000 < sum(map(len, texts(printed))) < 60_000
    assert all(is_gone(pid) for pid in pids(tmp_path / "pids"))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 7", "ended with status 7"),
        ("kill -9 $$", "died by signal 9"),
        ("echo; echo what is wrong >&2; echo >&2; exit 1", "ended with status 1: what is wrong"),
        ("echo Error: what is wrong >&2; echo 0: a trace >&2; exit 1", "ended with status 1: Error: what is wrong"),
    ],
)
def test_one_that_fails_has_given_up_with_its_last_words(kind: str, agent: PlayedAgent, script: str, reason: str):
    finished = agent.play(script).finished
    assert (finished.outcome, finished.code) == (Outcome.GAVE_UP, "")
    assert finished.reason == f"{Path(PROGRAMS[kind]).name} {reason}"


def test_one_that_ends_without_a_result_has_given_up(agent: PlayedAgent):
    finished = agent.play(printing("hello")).finished
    assert (finished.outcome, finished.exit) == (Outcome.GAVE_UP, 3)
    assert finished.reason.endswith("ended with status 0: hello")


def test_one_that_takes_too_long_is_killed_with_what_it_started(agent: PlayedAgent, tmp_path: Path):
    script = f"sleep 1000 & echo $! > {tmp_path}/pids; {printing('begun')}; sleep 1000"
    printed = agent.play(script, "--timeout=3")
    assert (printed.finished.outcome, printed.output()) == (Outcome.TIMED_OUT, b"begun\n")
    assert is_gone(pids(tmp_path / "pids")[0])
    assert not [
        own for own in agent.environment.values() if own.startswith("/var/tmp/aideator-") and Path(own).exists()
    ]


def test_one_that_is_not_installed_is_a_crash_with_a_reason(kind: str, tmp_path: Path):
    wire = {"claude-code": "messages", "codex": "responses"}[kind]
    arguments = [f"--agent={kind}", f"--agent-home={tmp_path}", "--prompt=p", f"--wire={wire}", "--model=m"]
    variables = {"AIDEATOR_GATEWAY": GATEWAY, "AIDEATOR_TOKEN": "t", "PATH": "/bin/nowhere"}
    finished = run(*arguments, directory=tmp_path, variables=variables).finished
    assert finished.outcome is Outcome.CRASHED
    assert finished.reason.endswith(f"No such file or directory: '{Path(PROGRAMS[kind]).name}'")


def test_a_command_finds_the_models_in_the_names_that_all_know(tmp_path: Path):
    variables = {"AIDEATOR_GATEWAY": f"{GATEWAY}/", "AIDEATOR_TOKEN": "a-token"}
    arguments = ["--agent=command", "--command=env", "--prompt=p", "--model=gpt-5"]
    lines = set(run(*arguments, directory=tmp_path, variables=variables).output().decode().splitlines())
    assert {f"ANTHROPIC_BASE_URL={GATEWAY}", "ANTHROPIC_API_KEY=a-token"} <= lines
    assert {f"OPENAI_BASE_URL={GATEWAY}/v1", "OPENAI_API_KEY=a-token", "MODEL=gpt-5", "PROMPT=p"} <= lines


def test_a_setup_command_is_not_let_in(tmp_path: Path):
    variables = {"AIDEATOR_GATEWAY": GATEWAY, "AIDEATOR_TOKEN": "a-token"}
    assert b"a-token" not in run("--setup=env", directory=tmp_path, variables=variables).output()
