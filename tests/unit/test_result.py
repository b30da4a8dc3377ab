import json
from pathlib import Path

import pytest

from agent_image.events import Outcome
from agent_image.result import LONGEST_REASON, Ended, write_result

LATE = Ended(Outcome.TIMED_OUT, "too late")
EXPECTED = {"outcome": "timed_out", "exit": 124, "seconds": 1.5, "reason": "too late"}


def test_the_result_is_written_with_its_directories(tmp_path: Path):
    path = tmp_path / "a/b/result.json"
    write_result(path, LATE, 1.5)
    assert json.loads(path.read_text()) == EXPECTED
    assert [file.name for file in path.parent.iterdir()] == ["result.json"]


def test_a_result_says_why_for_people_and_for_programs(tmp_path: Path):
    path = tmp_path / "result.json"
    write_result(path, Ended(Outcome.GAVE_UP, "x" * 5000, "llm.budget"), 1.5)
    written = json.loads(path.read_text())
    assert (written["code"], written["reason"]) == ("llm.budget", "x" * LONGEST_REASON)


def test_a_result_without_a_reason_has_no_empty_one(tmp_path: Path):
    path = tmp_path / "result.json"
    write_result(path, Ended(Outcome.SUBMITTED), 1.5)
    assert json.loads(path.read_text()) == {"outcome": "submitted", "exit": 0, "seconds": 1.5}


def test_a_reason_that_is_not_utf_8_is_written_all_the_same(tmp_path: Path):
    path = tmp_path / "result.json"
    write_result(path, Ended(Outcome.CRASHED, "no file \udcff"), 1.5)
    assert json.loads(path.read_text())["reason"] == "no file ?"


@pytest.mark.parametrize("planted", ["result.json", "result.json.new"])
@pytest.mark.parametrize("kind", ["link", "dangling", "directory", "file"])
def test_what_an_agent_planted_is_replaced_and_not_followed(tmp_path: Path, planted: str, kind: str):
    (tmp_path / "precious").write_text("precious")
    directory = tmp_path / "run"
    directory.mkdir()
    match kind:
        case "link":
            (directory / planted).symlink_to(tmp_path / "precious")
        case "dangling":
            (directory / planted).symlink_to(tmp_path / "created")
        case "directory":
            (directory / planted / "full").mkdir(parents=True)
        case _:
            (directory / planted).write_text("forged")
    write_result(directory / "result.json", LATE, 1.5)
    assert json.loads((directory / "result.json").read_text()) == EXPECTED
    assert not (directory / "result.json").is_symlink()
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "created").exists()


def test_a_directory_that_is_a_link_is_replaced_and_not_followed(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to("elsewhere")
    write_result(tmp_path / "run/result.json", LATE, 1.5)
    assert json.loads((tmp_path / "run/result.json").read_text()) == EXPECTED
    assert list((tmp_path / "elsewhere").iterdir()) == []
