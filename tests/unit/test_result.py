import json
from pathlib import Path

import pytest

from agent_image.events import Outcome
from agent_image.result import write_result

EXPECTED = {"outcome": "timed_out", "exit": 124, "seconds": 1.5}


def test_the_result_is_written_with_its_directories(tmp_path: Path):
    path = tmp_path / "a/b/result.json"
    write_result(path, Outcome.TIMED_OUT, 1.5)
    assert json.loads(path.read_text()) == EXPECTED
    assert [file.name for file in path.parent.iterdir()] == ["result.json"]


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
    write_result(directory / "result.json", Outcome.TIMED_OUT, 1.5)
    assert json.loads((directory / "result.json").read_text()) == EXPECTED
    assert not (directory / "result.json").is_symlink()
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "created").exists()


def test_a_directory_that_is_a_link_is_replaced_and_not_followed(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to("elsewhere")
    write_result(tmp_path / "run/result.json", Outcome.TIMED_OUT, 1.5)
    assert json.loads((tmp_path / "run/result.json").read_text()) == EXPECTED
    assert list((tmp_path / "elsewhere").iterdir()) == []
