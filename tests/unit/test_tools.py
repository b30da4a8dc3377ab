import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from toolboxes import bench

from agent_image.excerpt import LONGEST
from agent_image.model import ToolAnswer, ToolCall
from agent_image.tools import TOOLS


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with a neighbour that no tool may touch, and links that lead there."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    workspace = tmp_path / "workspace"
    (workspace / "src").mkdir(parents=True)
    (workspace / "src/main.py").write_text("one\ntwo\ntwo and a half\n")
    (workspace / "link.py").symlink_to("src/main.py")
    (workspace / "source").symlink_to("src")
    (workspace / "bad.txt").symlink_to("../outside/secret")
    (workspace / "bad").symlink_to(tmp_path / "outside")
    (workspace / "circle").symlink_to("circle")
    return workspace


async def use(workspace: Path, tool: str, arguments: dict[str, Any] | str) -> ToolAnswer:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    async with bench(workspace, workspace.parent / "log") as at:
        return await at.toolbox.use(ToolCall("c1", tool, text))


async def test_run_answers_with_status_and_output(workspace: Path):
    answer = await use(workspace, "run", {"command": "echo out; echo err >&2; exit 3"})
    assert not answer.ok
    assert answer.text.startswith("the command ended with status 3\n")
    assert sorted(answer.text.splitlines()[1:]) == ["err", "out"]


async def test_run_works_in_the_workspace(workspace: Path):
    answer = await use(workspace, "run", {"command": "pwd"})
    assert answer.ok
    assert answer.text == f"the command ended with status 0\n{workspace}\n"


async def test_run_shows_the_ends_of_a_long_output(workspace: Path):
    answer = await use(workspace, "run", {"command": "echo first; seq 100000; echo last"})
    assert len(answer.text) <= LONGEST
    assert "first\n" in answer.text
    assert answer.text.endswith("100000\nlast\n")


@pytest.mark.parametrize("path", ["src/main.py", "./src/../src/main.py", "link.py", "source/main.py"])
async def test_read_shows_a_file_however_it_is_named(workspace: Path, path: str):
    expected = ToolAnswer(call="c1", ok=True, text="one\ntwo\ntwo and a half\n")
    assert await use(workspace, "read", {"path": path}) == expected
    assert await use(workspace, "read", {"path": str(workspace / path)}) == expected


async def test_read_shows_the_lines_asked_for(workspace: Path):
    answer = await use(workspace, "read", {"path": "src/main.py", "offset": 2, "limit": 1})
    assert answer.text == "[lines 2 to 2 of 3]\ntwo\n"


async def test_read_shows_the_ends_of_a_long_text(workspace: Path):
    (workspace / "long").write_text("x" * 100_000)
    answer = await use(workspace, "read", {"path": "long"})
    assert answer.ok
    assert len(answer.text) <= LONGEST


@pytest.mark.parametrize(
    "path",
    ["", ".", "src", "/", "..", "../outside/secret", "/etc/passwd", "bad.txt", "bad/secret", "src/../../outside/secret",
     "circle", "circle/x", "missing", "src/main.py/x", "a\0b", "x" * 5000, "x" * 3000, "y/" * 2000 + "y", "/dev/zero",
     "/proc/self/environ"],
)  # fmt: skip
@pytest.mark.parametrize("tool", ["read", "edit"])
async def test_no_tool_reads_what_is_not_a_file_of_the_workspace(workspace: Path, tool: str, path: str):
    arguments = {"path": path, **({"old": "secret", "new": "changed"} if tool == "edit" else {})}
    answer = await use(workspace, tool, arguments)
    assert not answer.ok
    assert answer.text.startswith("error: ")
    assert "secret" not in answer.text.removeprefix("error: ").replace(path, "")
    assert (workspace.parent / "outside/secret").read_text() == "secret"


@pytest.mark.parametrize("path", ["../outside/new", "bad/new", "bad.txt", "/tmp/../new", "src", "", "src/main.py/x"])
async def test_write_touches_nothing_outside(workspace: Path, path: str):
    assert not (await use(workspace, "write", {"path": path, "content": "x"})).ok
    assert [file.name for file in (workspace.parent / "outside").iterdir()] == ["secret"]
    assert (workspace.parent / "outside/secret").read_text() == "secret"


@pytest.mark.parametrize("tool", ["read", "write", "edit"])
async def test_special_files_are_refused_and_hang_nothing(workspace: Path, tool: str):
    os.mkfifo(workspace / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        directory = os.open(workspace, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{directory}/socket")  # the whole path may be too long for one
        os.close(directory)
        rest = {"read": {}, "write": {"content": "x"}, "edit": {"old": "x", "new": "y"}}[tool]
        assert not (await use(workspace, tool, {"path": "fifo", **rest})).ok
        assert not (await use(workspace, tool, {"path": "socket", **rest})).ok


async def test_a_huge_file_is_left_to_the_shell(workspace: Path):
    with (workspace / "huge").open("wb") as file:
        file.truncate(10**12)
    answer = await use(workspace, "read", {"path": "huge"})
    assert not answer.ok
    assert "use a command" in answer.text


async def test_write_makes_directories_and_replaces_files(workspace: Path):
    assert (await use(workspace, "write", {"path": "new/deep/file.txt", "content": "é" * 1000})).ok
    assert (await use(workspace, "write", {"path": "new/deep/file.txt", "content": "short\r\n"})).ok
    assert (workspace / "new/deep/file.txt").read_bytes() == b"short\r\n"


async def test_write_keeps_what_a_file_may_do(workspace: Path):
    (workspace / "src/main.py").chmod(0o755)
    assert (await use(workspace, "write", {"path": "link.py", "content": "new"})).ok
    assert (workspace / "link.py").is_symlink()
    assert (workspace / "src/main.py").read_text() == "new"
    assert (workspace / "src/main.py").stat().st_mode & 0o777 == 0o755


async def test_edit_changes_one_place_and_no_other_byte(workspace: Path):
    (workspace / "mixed").write_bytes(b"a\r\nb\xff\nc\n")
    assert (await use(workspace, "edit", {"path": "mixed", "old": "a\r\n", "new": "é\n"})).ok
    assert (workspace / "mixed").read_bytes() == "é\n".encode() + b"b\xff\nc\n"


@pytest.mark.parametrize(
    ("old", "reason"), [("two", "more than once"), ("three", "is not in"), ("ee", "is not in"), ("", "length >= 1")]
)
async def test_edit_refuses_what_is_not_there_exactly_once(workspace: Path, old: str, reason: str):
    answer = await use(workspace, "edit", {"path": "src/main.py", "old": old, "new": "x"})
    assert not answer.ok
    assert reason in answer.text
    assert (workspace / "src/main.py").read_text() == "one\ntwo\ntwo and a half\n"


async def test_edit_sees_places_that_overlap(workspace: Path):
    (workspace / "file").write_text("aaa")
    assert not (await use(workspace, "edit", {"path": "file", "old": "aa", "new": "b"})).ok


@pytest.mark.parametrize(
    ("tool", "arguments", "reason"),
    [
        ("fly", "{}", "there is no tool 'fly'; there are: run, read, write, edit, submit"),
        ("run", "{}", "missing required field `command`"),
        ("run", '{"command": 1}', "Expected `str`, got `int` - at `$.command`"),
        ("run", '{"command": "true", "sudo": true}', "unknown field `sudo`"),
        ("run", '{"command": "true", "timeout_s": 0}', "`$.timeout_s`"),
        ("run", '{"command": "a\\u0000b"}', "a command has no NUL"),
        ("run", json.dumps({"command": "x" * 300_000}), "Argument list too long"),
        ("read", '{"path": ', "truncated"),
        ("read", "", "truncated"),
        ("read", "[" * 100_000, "bad arguments"),
        ("read", '{"path": "\\ud800"}', "bad arguments"),
        ("write", '{"path": "x"}', "missing required field `content`"),
    ],
)
async def test_a_bad_call_is_explained_to_the_model(workspace: Path, tool: str, arguments: str, reason: str):
    answer = await use(workspace, tool, arguments)
    assert not answer.ok
    assert reason in answer.text


async def test_submit_ends_the_work(workspace: Path):
    answer = await use(workspace, "submit", {"summary": "done"})
    assert (answer.ok, answer.submits) == (True, True)


def test_the_tools_are_described_for_providers():
    assert [tool.name for tool in TOOLS] == ["run", "read", "write", "edit", "submit"]
    for tool in TOOLS:
        assert tool.description
        assert tool.parameters["type"] == "object"
        assert tool.parameters["additionalProperties"] is False
        assert "$ref" not in json.dumps(tool.parameters)
