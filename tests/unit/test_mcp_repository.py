"""Our own servers behind the protocol: the harness in another role, asked by an MCP client."""

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from harness_process import HARNESS, environment
from mcp import Client, StdioServerParameters
from mcp.types import TextContent


@asynccontextmanager
async def client(which: str, directory: Path) -> AsyncGenerator[Client]:
    program, *arguments = [*HARNESS, f"--serve={which}"]
    async with Client(
        StdioServerParameters(command=program, args=arguments, env=environment(), cwd=directory)
    ) as connected:
        yield connected


async def call(at: Client, tool: str, **arguments: object) -> tuple[bool, str]:
    """Return whether it worked, and what was said."""
    result = await at.call_tool(tool, arguments)
    (block,) = result.content
    assert isinstance(block, TextContent)
    assert result.structured_content is None
    return not result.is_error, block.text


@pytest.mark.parametrize(
    ("which", "tools"),
    [
        ("files", "delete edit find list move read search write"),
        ("git", "add blame branches commit diff log restore show status"),
    ],
)
async def test_the_tools_are_described_and_say_which_change_nothing(tmp_path: Path, which: str, tools: str):
    async with client(which, tmp_path) as at:
        listed = (await at.list_tools()).tools
    assert [tool.name for tool in listed] == tools.split()
    assert all(tool.description and tool.input_schema["type"] == "object" for tool in listed)
    assert "$ref" not in json.dumps([tool.input_schema for tool in listed])
    changing = {tool.name for tool in listed if not (tool.annotations and tool.annotations.read_only_hint)}
    assert changing <= {"write", "edit", "move", "delete", "add", "commit", "restore"}


async def test_files_are_written_found_searched_and_read(tmp_path: Path):
    async with client("files", tmp_path) as at:
        assert await call(at, "write", path="src/a.py", content="one\ntwo\n") == (True, "wrote 8 bytes to src/a.py")
        assert await call(at, "find", pattern="*.py") == (True, "src/a.py")
        assert await call(at, "search", text="t.o", regex=True) == (True, "src/a.py:2: two")
        assert await call(at, "read", path="src/a.py", offset=2) == (True, "[lines 2 to 2 of 2]\ntwo\n")
        assert await call(at, "delete", path="src", recursive=True) == (True, "deleted src")
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_what_is_wrong_with_a_call_is_said(tmp_path: Path):
    os.mkfifo(tmp_path / "fifo")
    async with client("files", tmp_path) as at:
        for tool, arguments, reason in [
            ("read", {"path": "../x"}, "../x is not inside the workspace"),
            ("read", {"path": "fifo"}, "fifo is not a regular file"),
            ("read", {"path": "fifo", "limit": 0}, "greater than or equal to 1"),
            ("read", {}, "Field required"),
            ("list", {"path": "missing"}, "No such file or directory"),
            ("delete", {"path": "."}, "is not inside the workspace"),
            ("move", {"path": "fifo", "to": "x/" * 2000 + "x"}, "recursion"),
            ("edit", {"path": "fifo", "old": "", "new": ""}, "at least 1 character"),
            ("fly", {}, "Unknown tool: fly"),
        ]:
            worked, said = await call(at, tool, **arguments)
            assert not worked
            assert reason in said
        assert await call(at, "list") == (True, "fifo")


async def test_a_commit_is_made(tmp_path: Path):
    async with client("git", tmp_path) as at:
        worked, said = await call(at, "status")
        assert not worked
        assert "not a git repository" in said
        await anyio.run_process(["git", "init", "--quiet", "--initial-branch=main", str(tmp_path)])
        (tmp_path / "a").write_text("a")
        assert await call(at, "add", paths=["."]) == (True, "## No commits yet on main\nA  a\n")
        assert (await call(at, "commit", message="first"))[0]
        assert await call(at, "status") == (True, "## main\n")
        assert not (await call(at, "add", paths=[]))[0]
        assert not (await call(at, "diff", paths="a"))[0]
