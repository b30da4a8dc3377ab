"""The built-in agent with the `scripted` model, through the harness."""

import json
from pathlib import Path
from typing import Any

import pytest
from harness_process import Printed, run

from agent_image.events import Outcome, Output, Said, ToolCalled, ToolReturned


def play(directory: Path, script: Any, *arguments: str, variation: int = 0) -> Printed:
    scripts = directory / ".aideator/scripts"
    scripts.mkdir(parents=True, exist_ok=True)
    text = script if isinstance(script, str) else json.dumps(script)
    (scripts / f"{variation}.json").write_text(text)
    variables = {"VARIATION_ID": str(variation), "PROMPT": "do it"}
    return run(*arguments, directory=directory, variables=variables)


def turns(*calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"turns": [{"calls": [{"tool": tool, "arguments": arguments}]} for tool, arguments in calls]}


def test_a_script_is_played_by_real_tools(tmp_path: Path):
    script = turns(
        ("write", {"path": "hello.sh", "content": "echo hello $1\n"}),
        ("edit", {"path": "hello.sh", "old": "hello", "new": "good day"}),
        ("run", {"command": "sh hello.sh you"}),
        ("read", {"path": "hello.sh"}),
        ("submit", {"summary": "greeted"}),
    )
    script["turns"][0]["said"] = "I greet."
    printed = play(tmp_path, script)
    assert printed.finished.outcome is Outcome.SUBMITTED
    assert [event.text for event in printed.all(Said)] == ["I greet."]
    assert [event.tool for event in printed.all(ToolCalled)] == ["write", "edit", "run", "read", "submit"]
    assert [event.call for event in printed.all(ToolCalled)] == [event.call for event in printed.all(ToolReturned)]
    assert all(event.ok for event in printed.all(ToolReturned))
    assert [event.text for event in printed.all(Output)] == ["good day you\n"]


def test_each_variation_has_its_own_script(tmp_path: Path):
    for variation in (0, 7):
        play(tmp_path, turns(("run", {"command": f"touch by-{variation}"}), ("submit", {})), variation=variation)
    assert {path.name for path in tmp_path.glob("by-*")} == {"by-0", "by-7"}


def test_many_calls_of_a_turn_are_made_in_order(tmp_path: Path):
    calls = [{"tool": "run", "arguments": {"command": f"echo {number}"}} for number in range(5)]
    printed = play(tmp_path, {"turns": [{"calls": calls}, {"calls": [{"tool": "submit"}]}]})
    assert printed.output() == b"0\n1\n2\n3\n4\n"
    names = [event.call for event in printed.all(ToolCalled)]
    assert len(set(names)) == 6


def test_a_command_is_killed_with_all_it_started_at_its_time_limit(tmp_path: Path):
    slow = "setsid sh -c 'echo $$ > pid; exec sleep 1000' & sleep 1000"
    check = "kill -0 $(cat pid)"
    printed = play(tmp_path, turns(("run", {"command": slow, "timeout_s": 0.5}), ("run", {"command": check})))
    slow_answer, check_answer = printed.all(ToolReturned)
    assert (slow_answer.ok, slow_answer.text) == (False, "the command was killed at its time limit\n")
    assert (tmp_path / "pid").exists()
    assert not check_answer.ok


def test_a_time_limit_spares_what_ran_before(tmp_path: Path):
    server = "(setsid sh -c 'echo $$ > pid; while sleep 0.1; do :; done' &); while ! [ -s pid ]; do sleep 0.01; done"
    printed = play(
        tmp_path,
        turns(
            ("run", {"command": server}),
            ("run", {"command": "sleep 1000", "timeout_s": 0.5}),
            ("run", {"command": "kill -0 $(cat pid)"}),
        ),
    )
    assert [event.ok for event in printed.all(ToolReturned)] == [True, False, True]


def test_a_script_without_submit_has_given_up(tmp_path: Path):
    printed = play(tmp_path, turns(("run", {"command": "true"})))
    assert (printed.status, printed.finished.reason) == (3, "the script ended without submit")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('{"turns": [{"calls": [{"arguments": {}}]}]}', "missing required field `tool` - at `$.turns[0].calls[0]`"),
        ('{"turns": [{"say": "hi"}]}', "unknown field `say` - at `$.turns[0]`"),
        ('{"turns": [{"delay_s": -1}]}', "`$.turns[0].delay_s`"),
        ("{}", "missing required field `turns`"),
        ("", "truncated"),
        ("{'turns': []}", "malformed"),
    ],
)
def test_a_script_that_is_wrong_is_named_with_the_field(tmp_path: Path, script: str, reason: str):
    printed = play(tmp_path, script)
    assert printed.finished.outcome is Outcome.GAVE_UP
    assert printed.finished.reason.startswith("the script .aideator/scripts/0.json cannot be played: ")
    assert reason in printed.finished.reason


def test_a_script_that_is_no_file_of_the_repository_is_not_played(tmp_path: Path):
    (tmp_path / "elsewhere.json").write_text('{"turns": []}')
    repository = tmp_path / "repository"
    (repository / ".aideator/scripts").mkdir(parents=True)
    (repository / ".aideator/scripts/0.json").symlink_to("../../../elsewhere.json")
    printed = run("--prompt=x", directory=repository)
    assert "is not inside the workspace" in printed.finished.reason


def test_a_script_may_take_its_time(tmp_path: Path):
    printed = play(tmp_path, {"turns": [{"delay_s": 0.3, "calls": [{"tool": "submit"}]}]})
    assert printed.finished.seconds >= 0.3


def test_a_script_that_takes_too_long_is_timed_out(tmp_path: Path):
    printed = play(tmp_path, {"turns": [{"delay_s": 1000}]}, "--timeout=0.5")
    assert (printed.status, printed.finished.outcome) == (124, Outcome.TIMED_OUT)


def test_steps_are_limited(tmp_path: Path):
    printed = play(tmp_path, turns(*[("run", {"command": "true"})] * 5), "--max-steps=2")
    assert printed.finished.reason == "the model did not submit within 2 steps"


@pytest.mark.parametrize("readme", ["README.md", "readme", None])
def test_without_a_script_variations_look_around_and_differ(tmp_path: Path, readme: str | None):
    if readme:
        (tmp_path / readme).write_text("# Our project\n")
    written: set[str] = set()
    for variation in ("0", "1"):
        printed = run(directory=tmp_path, variables={"VARIATION_ID": variation, "PROMPT": "make it\nbetter"})
        assert printed.finished.outcome is Outcome.SUBMITTED
        text = (tmp_path / f"AIDEATOR-{variation}.md").read_text()
        assert "> make it\n> better\n" in text
        assert ("> # Our project\n" in text) == bool(readme)
        written.add(text)
    assert len(written) == 2


def test_a_prompt_of_any_bytes_is_no_crash(tmp_path: Path):
    printed = run("--prompt=\udcff\x1b {{x}}", directory=tmp_path)
    assert printed.finished.outcome is Outcome.SUBMITTED
