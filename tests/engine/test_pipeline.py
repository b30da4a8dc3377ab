"""`dagger call`: the pipeline's door to a terminal."""

import json
import re
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.engine.visitors import Visitors, visitors

DaggerCall = Callable[..., str]

# Each agent makes itself known, and ends in a way of its own.
WAYS = [
    "echo done > new.txt",
    "echo half-done > new.txt; exit 7",
    "echo stuck > new.txt; trap '' TERM; sleep 1000",
    "kill -9 $PPID; sleep 1000",
]


def test_the_functions_say_what_they_are_for(dagger_call: DaggerCall):
    assert re.search(r"^run +Prepare a run", dagger_call("functions"), re.MULTILINE)
    said = " ".join(dagger_call("call", "run", "--help").split())
    for words in (
        "report Run all variations; the same as JSON.",
        "summary Run all variations; a Markdown table of how each ended.",
        "variation One variation of the run.",
        '(default "https://github.com/octocat/Hello-World")',
        '(default "Analyze this repository and describe what it does")',
        "How many agents work side by side (default 3)",
        "Seconds until an agent is stopped (default 300)",
        '--agent string What works in each container: builtin, claude-code, codex, or command (default "builtin")',
    ):
        assert words in said
    said = " ".join(dagger_call("call", "run", "variation", "--help").split())
    for words in (
        "--index int Which one, from 0 [required]",
        "exit-code The harness's exit status: 0 submitted",
        "output Everything the harness printed: one JSON event a line.",
        "patch The complete difference from the base commit",
        "tree The repository as the agent left it",
    ):
        assert words in said


class Asked:
    """One run, asked for its summary, then for a patch, then for its report; who had called after each."""

    def __init__(self, dagger_call: DaggerCall, callers: Visitors, source: Path) -> None:
        self.run_id = uuid4().hex
        ways = " ".join(f"{index}) {way} ;;" for index, way in enumerate(WAYS))
        run = ["call", "run", f"--source={source}", f"--run-id={self.run_id}", "--agent=command", "--timeout=6"]
        run += [f"--variations={len(WAYS)}"]
        run += [f"--command={callers.visit('$VARIATION_ID')}; case $VARIATION_ID in {ways} esac"]
        self.summary = dagger_call(*run, "summary")
        self.after_summary = Counter(callers.names)
        self.patch = dagger_call(*run, "variation", "--index=1", "patch", "contents")
        self.after_patch = Counter(callers.names)
        self.report = json.loads(dagger_call(*run, "report"))
        self.after_report = Counter(callers.names)


@pytest.fixture(scope="module")
def asked(dagger_call: DaggerCall, tmp_path_factory: pytest.TempPathFactory) -> Generator[Asked]:
    source = tmp_path_factory.mktemp("source")
    (source / "README.md").write_text("as given\n")
    with visitors() as callers:
        yield Asked(dagger_call, callers, source)


def test_however_a_variation_ends_it_is_a_row(asked: Asked):
    head, _, *rows = asked.summary.strip().splitlines()
    assert head == f"Run `{asked.run_id}` at `the directory as given`"
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]
    assert [[index, outcome, status] for index, _, _, outcome, status, *_ in cells] == [
        ["0", "submitted", "0"],
        ["1", "gave_up", "3"],
        ["2", "timed_out", "124"],
        ["3", "crashed", "137"],
    ]
    assert all(re.fullmatch(r"\d+ bytes", cells[index][6]) for index in (0, 1, 2))
    assert "killed by signal 9" in cells[3][-1]
    assert 6 <= float(cells[2][5]) < 20
    assert float(cells[0][5]) < 6


def test_the_report_is_the_summary_for_programs(asked: Asked):
    assert asked.report["run_id"] == asked.run_id
    assert asked.report["commit"] == ""
    rows = asked.report["variations"]
    assert [row["index"] for row in rows] == [0, 1, 2, 3]
    assert [row["outcome"] for row in rows] == ["submitted", "gave_up", "timed_out", "crashed"]
    assert [row["exit"] for row in rows] == [0, 3, 124, 137]
    assert [row.get("patch_bytes", 0) > 0 for row in rows] == [True, True, True, False]
    assert rows[1]["patch_bytes"] == len(asked.patch)
    assert rows[3]["reason"] == "killed by signal 9"


def test_a_patch_is_what_the_agent_did(asked: Asked):
    assert "+half-done\n" in asked.patch
    assert "new.txt" in asked.patch


def test_the_same_run_id_runs_no_agent_again(asked: Asked):
    once = Counter({"0": 1, "1": 1, "2": 1, "3": 1})
    assert asked.after_summary == once
    assert asked.after_patch == once
    # Of an exec that a signal killed the engine keeps nothing, so a second call has to run it again, once.
    assert asked.after_report == once + Counter({"3": 1})


def test_a_run_has_an_id_of_its_own(dagger_call: DaggerCall, tmp_path: Path):
    assert re.fullmatch(r"[0-9a-f]{32}", dagger_call("call", "run", f"--source={tmp_path}", "run-id").strip())
