"""The tools of our own server `files`; `test_mcp_repository.py` has them behind the protocol."""

import os
from pathlib import Path

import anyio
import pytest

from agent_image.excerpt import LONGEST
from agent_image.mcp.file_tools import FileTools
from agent_image.tools import ToolError
from agent_image.workspace import Workspace, WorkspaceError

REFUSALS = (ToolError, WorkspaceError, OSError, RecursionError)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with a neighbour that no tool may touch, and links that lead there."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    root = tmp_path / "workspace"
    for name, text in {"README.md": "# A\n", "src/a.py": "x = 1\n", "src/deep/b.py": "X = 2\ny = 3\n"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / ".git").mkdir()
    (root / ".git/config").write_text("x = 1\n")
    (root / "bad").symlink_to(tmp_path / "outside")
    (root / "link.py").symlink_to("src/a.py")
    (root / "circle").symlink_to("circle")
    return root


@pytest.fixture
def tools(root: Path) -> FileTools:
    return FileTools(Workspace(root))


async def test_a_directory_is_listed_without_git_and_without_following_links(tools: FileTools):
    assert (await tools.list()).split() == ["README.md", "bad", "circle", "link.py", "src/"]
    assert (await tools.list("src", depth=2)).split() == ["src/a.py", "src/deep/", "src/deep/b.py"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.py", "link.py src/a.py src/deep/b.py"),
        ("src/*.py", "src/a.py"),
        ("src/**/*.py", "src/a.py src/deep/b.py"),
        ("**/deep", "src/deep/"),
        ("**/b.p?", "src/deep/b.py"),
        ("*.rs", "nothing"),
    ],
)
async def test_files_are_found_by_pattern(tools: FileTools, pattern: str, found: str):
    assert (await tools.find(pattern)).split() == found.split()


async def test_a_search_says_file_line_and_text(tools: FileTools):
    assert await tools.search("x = 1") == "src/a.py:1: x = 1"
    assert await tools.search("^x = .$", regex=True, ignore_case=True) == "src/a.py:1: x = 1\nsrc/deep/b.py:1: X = 2"
    assert await tools.search("=", "src/deep/b.py") == "src/deep/b.py:1: X = 2\nsrc/deep/b.py:2: y = 3"
    assert await tools.search("= 1", pattern="src/deep/*") == "nothing"


async def test_a_search_passes_over_what_is_no_text_and_hangs_on_nothing(root: Path, tools: FileTools):
    os.mkfifo(root / "fifo")
    (root / "binary").write_bytes(b"\0secret")
    (root / "latin").write_bytes(b"\xe9 secret\n")
    assert await tools.search("secret") == "latin:1: � secret"


async def test_an_expression_that_never_comes_to_its_end_is_ended(root: Path):
    (root / "trap").write_text("a" * 64 + "!\n")
    with pytest.raises(ToolError, match="took more than"):
        await FileTools(Workspace(root), limit_s=0.2).search("^(a+)+$", regex=True)


async def test_an_expression_that_is_none_is_explained(tools: FileTools):
    with pytest.raises(ToolError, match="no regular expression: "):
        await tools.search("(", regex=True)


async def test_long_answers_are_cut_and_say_so(root: Path, tools: FileTools):
    for number in range(1500):
        (root / f"{number:04}").touch()
    assert (await tools.find("[0-9]*")).endswith("0999\n[more than 1000; ask for less]")
    (root / "long").write_text("y" * 100_000)
    assert len(await tools.search("y", "long")) < 400
    assert len(await tools.read("long")) <= LONGEST


async def test_a_very_deep_directory_is_walked(root: Path, tools: FileTools):
    deep = root
    for _ in range(1200):
        deep /= "d"
        deep.mkdir()
    (deep / "found").touch()
    assert (await tools.find("found")).endswith("/d/found")
    await anyio.run_process(["rm", "-r", str(root / "d")])  # which pytest could not


async def test_files_are_read_written_and_edited(root: Path, tools: FileTools):
    assert await tools.read("src/deep/b.py", offset=2, limit=1) == "[lines 2 to 2 of 2]\ny = 3\n"
    assert await tools.write("new/file", "é") == "wrote 2 bytes to new/file"
    assert await tools.edit("new/file", "é", "e") == "edited new/file"
    assert (root / "new/file").read_text() == "e"


async def test_files_and_directories_are_moved_to_where_nothing_is(root: Path, tools: FileTools):
    await tools.move("src/deep", "lib/deeper")
    assert (root / "lib/deeper/b.py").exists()
    with pytest.raises(ToolError, match="exists already"):
        await tools.move("README.md", "src/a.py")
    with pytest.raises(ToolError, match="exists already"):
        await tools.move("README.md", "circle")


async def test_a_link_is_deleted_or_moved_and_not_what_it_leads_to(root: Path, tools: FileTools):
    await tools.delete("link.py")
    await tools.move("bad", "moved")
    await tools.delete("moved", recursive=True)
    assert not (root / "moved").is_symlink()
    assert (root / "src/a.py").exists()
    assert (root.parent / "outside/secret").exists()


async def test_a_directory_that_is_not_empty_is_deleted_if_that_is_asked_for(root: Path, tools: FileTools):
    with pytest.raises(OSError, match="not empty"):
        await tools.delete("src")
    await tools.delete("src", recursive=True)
    assert not (root / "src").exists()


HOSTILE = ["", ".", "..", "/", "/etc", "../outside/secret", "bad/secret", "src/../../outside/secret", "circle/x",
           "a\0b", "src/..", "x" * 5000, "x/" * 2000 + "x"]  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE)
async def test_nothing_outside_is_moved_or_deleted_nor_the_workspace_itself(root: Path, tools: FileTools, path: str):
    with pytest.raises(REFUSALS):
        await tools.delete(path, recursive=True)
    with pytest.raises(REFUSALS):
        await tools.move(path, "stolen")
    with pytest.raises(REFUSALS):
        await tools.move("README.md", path)
    assert (root / "README.md").exists()
    assert [file.name for file in (root.parent / "outside").iterdir()] == ["secret"]


@pytest.mark.parametrize(
    "path", ["..", "/", "/etc", "../outside", "bad", "bad/secret", "circle", "a\0b", "missing", "x" * 5000]
)
async def test_nothing_outside_is_listed_or_searched(tools: FileTools, path: str):
    for look in (tools.list(path), tools.find("*", path), tools.search("secret", path)):
        with pytest.raises(REFUSALS):
            await look
