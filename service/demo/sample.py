"""The demo's repository: a little program with a failing test, and what three scripted agents do to it."""

import subprocess
from pathlib import Path

import msgspec

PROMPT = "The test of median() fails. Find out why, and mend it."
TIMEOUT_S = 10.0

_FILES = {
    "README.md": "# stats\n\nMeans and medians.\n\nRun the tests: `python3 -m unittest`\n",
    ".gitignore": "__pycache__/\n",
    "stats.py": '''"""Means and medians."""


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def median(values: list[float]) -> float:
    middle = len(values) // 2
    return sorted(values)[middle]
''',
    "test_stats.py": """import unittest

from stats import mean, median


class StatsTest(unittest.TestCase):
    def test_mean(self):
        self.assertEqual(mean([1, 2, 6]), 3)

    def test_median_of_an_odd_number_of_values(self):
        self.assertEqual(median([9, 1, 2]), 2)

    def test_median_of_an_even_number_of_values(self):
        self.assertEqual(median([1, 2, 4, 9]), 3)
""",
}
_RIGHT = """    middle, odd = divmod(len(values), 2)
    ordered = sorted(values)
    return ordered[middle] if odd else mean(ordered[middle - 1 : middle + 1])
"""
_WRONG = """    return mean(values)
"""
_OLD = """    middle = len(values) // 2
    return sorted(values)[middle]
"""
_TEST = "python3 -m unittest 2>&1"
_PACE_S = 0.4


def make_sample(path: Path) -> None:
    """Make the repository at `path`, as a server wants it, with one commit."""
    scripts = {
        0: [
            _turn("I look at what there is.", "run", command="ls; cat stats.py"),
            _turn("Does the test fail here too?", "run", command=_TEST),
            _turn("With an even number of values the middle lies between two.", "edit", old=_OLD, new=_RIGHT),
            _turn("Now it should pass.", "run", command=_TEST),
            _turn("It does.", "submit", summary="median() of an even number of values is the mean of the middle two"),
        ],
        1: [
            _turn("I can see it from here: median is some kind of mean.", "edit", old=_OLD, new=_WRONG),
            _turn("Let me see.", "run", command=_TEST),
            _turn("Worse, but I am sure of it.", "submit", summary="median() is mean()"),
        ],
        2: [
            _turn("This needs thought.", "run", command="while :; do echo thinking; sleep 1; done"),
        ],
    }
    files = {f".aideator/scripts/{index}.json": _script(turns) for index, turns in scripts.items()}
    _commit(path, _FILES | files)


def _turn(said: str, tool: str, **arguments: str) -> dict[str, object]:
    if tool == "edit":
        arguments = {"path": "stats.py", **arguments}
    return {"said": said, "delay_s": _PACE_S, "calls": [{"tool": tool, "arguments": arguments}]}


def _script(turns: list[dict[str, object]]) -> str:
    return msgspec.json.format(msgspec.json.encode({"turns": turns})).decode() + "\n"


def _commit(path: Path, files: dict[str, str]) -> None:
    git = ["git", "-C", str(path), "-c", "user.name=AIdeator", "-c", "user.email=demo@aideator.invalid"]
    git += ["-c", "commit.gpgSign=false"]
    path.mkdir(parents=True)
    subprocess.run([*git, "init", "--quiet", "--initial-branch=main"], check=True)
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message=A median that is wrong"], check=True)
