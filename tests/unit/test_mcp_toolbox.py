"""MCP servers beside the repository's own tools: real programs on pipes, and a real one on HTTP."""

import json
import re
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from harness_process import is_gone, pids, until
from mcp_programs import STDIO, http_server
from toolboxes import Bench, bench

from agent_image.events import Output
from agent_image.excerpt import LONGEST
from agent_image.mcp.servers import Patience, ServersError
from agent_image.mcp.toolbox import with_servers
from agent_image.model import ToolAnswer, ToolCall
from agent_image.tools import Toolbox

OWN = ["run", "read", "write", "edit", "submit"]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "workspace").mkdir()
    return tmp_path / "workspace"


@pytest.fixture
def url(tmp_path: Path) -> Generator[str]:
    """A server on HTTP."""
    with http_server(tmp_path) as url:
        yield url


class Connected:
    """A toolbox with servers in it, and what was emitted meanwhile."""

    def __init__(self, toolbox: Toolbox, at: Bench) -> None:
        self.toolbox = toolbox
        self._at = at

    async def use(self, tool: str, arguments: dict[str, Any] | str = "{}") -> ToolAnswer:
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        return await self.toolbox.use(ToolCall("c1", tool, text))

    @property
    def stderr(self) -> str:
        return "".join(event.text for event in self._at.events if isinstance(event, Output))


@asynccontextmanager
async def connected(workspace: Path, patience: Patience | None = None, **servers: Any) -> AsyncGenerator[Connected]:
    async with (
        bench(workspace, workspace.parent / "log") as at,
        with_servers(json.dumps(servers), at.toolbox, at.shell, patience or Patience()) as toolbox,
    ):
        yield Connected(toolbox, at)


async def refusal(workspace: Path, **servers: Any) -> str:
    """What is said of servers that cannot be used."""
    async with bench(workspace, workspace.parent / "log") as at:
        with pytest.raises(ServersError) as raised:
            async with with_servers(json.dumps(servers), at.toolbox, at.shell, Patience(start_s=3)):
                pass
        await all_are_gone(workspace)
    return str(raised.value)


async def all_are_gone(workspace: Path) -> None:
    """Wait for the end of what has noted its process id, while there is somebody who reaps."""
    await anyio.to_thread.run_sync(until, lambda: all(map(is_gone, pids(workspace / "pids"))))


async def test_without_servers_there_is_nothing_but_our_own(workspace: Path):
    async with bench(workspace, workspace.parent / "log") as at, with_servers("", at.toolbox, at.shell) as toolbox:
        assert toolbox is at.toolbox


async def test_a_servers_tools_stand_beside_our_own(workspace: Path):
    async with connected(workspace, tests=STDIO) as at:
        assert [tool.name for tool in at.toolbox.tools][: len(OWN) + 1] == [*OWN, "tests__echo"]
        echo = at.toolbox.tools[len(OWN)]
        assert echo.description == "Say it again."
        assert echo.parameters["properties"]["text"]["type"] == "string"
        assert await at.use("tests__echo", {"text": "hé"}) == ToolAnswer(call="c1", ok=True, text="hé")
        assert (await at.use("write", {"path": "a", "content": "x"})).ok
        assert (await at.use("submit")).submits
        assert at.toolbox.may_print
    (pid,) = pids(workspace / "pids")
    assert is_gone(pid)


async def test_a_server_on_http_is_one_like_any_other(workspace: Path, url: str):
    async with connected(workspace, web={"url": url}, local=STDIO) as at:
        assert (await at.use("web__echo", {"text": "hé"})).text == "hé"
        assert (await at.use("web__refuse")).text == "error: Error executing tool refuse: not today"
        assert (await at.use("local__echo", {"text": "hé"})).text == "hé"


async def test_every_name_is_one_that_providers_take_and_unique(workspace: Path):
    servers: dict[str, Any] = {"my server!": STDIO, "my_server_": STDIO}
    async with connected(workspace, **servers) as at:
        names = [tool.name for tool in at.toolbox.tools]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names)
        assert "my_server___echo" in names
        odd = [name for name in names if "odd" in name]
        assert [(await at.use(name)).text for name in odd] == ["odd", "odder"] * 2


async def test_a_program_works_in_the_workspace_with_its_variables_and_none_of_ours(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIDEATOR_TOKEN", "secret")
    monkeypatch.setenv("IMAGE_HAS", "this")
    async with connected(workspace, tests={**STDIO, "env": {"GIVEN": "that"}}) as at:
        lines = (await at.use("tests__where")).text.splitlines()
    assert lines[0] == str(workspace)
    assert {"GIVEN=that", "IMAGE_HAS=this"} <= set(lines)
    assert "AIDEATOR_TOKEN=secret" not in lines


@pytest.mark.parametrize(
    ("tool", "arguments", "answer"),
    [
        ("refuse", {}, "not today"),
        ("echo", {}, "Field required"),
        ("echo", "[]", "bad arguments for tests__echo: Expected `object`"),
        ("echo", "", "bad arguments for tests__echo: "),
        ("nothing", {}, "there is no tool 'tests__nothing'; there are: run, read, write, edit, submit, tests__echo, "),
    ],
)
async def test_what_is_wrong_with_a_call_is_told_to_the_model(workspace: Path, tool: str, arguments: Any, answer: str):
    async with connected(workspace, tests=STDIO) as at:
        told = await at.use(f"tests__{tool}", arguments)
    assert not told.ok
    assert told.text.startswith("error: ")
    assert answer in told.text


async def test_what_is_no_text_is_described(workspace: Path):
    async with connected(workspace, tests=STDIO) as at:
        assert (await at.use("tests__media")).text.splitlines() == [
            "look:",
            "[image, image/png, 5 bytes]",
            "[resource 'page' at https://example.invalid/page]",
            "a memo",
        ]
        assert (await at.use("tests__add", {"a": 1, "b": 2})).text == "3"


async def test_long_texts_pass_both_ways_and_an_answer_loses_its_middle(workspace: Path):
    async with connected(workspace, tests=STDIO) as at:
        answer = await at.use("tests__echo", {"text": "begin" + "x" * 1_000_000 + "end"})
    assert len(answer.text) <= LONGEST
    assert answer.text.startswith("begin")
    assert answer.text.endswith("end")


async def test_calls_at_the_same_time_get_their_own_answers(workspace: Path):
    async with connected(workspace, tests=STDIO) as at:
        answers: dict[str, str] = {}

        async def ask(text: str) -> None:
            answers[text] = (await at.use("tests__echo", {"text": text})).text

        async with anyio.create_task_group() as calls:
            for number in range(20):
                calls.start_soon(ask, str(number))
    assert answers == {str(number): str(number) for number in range(20)}


async def test_a_server_that_crashes_costs_its_own_tools_only(workspace: Path):
    async with connected(workspace, tests=STDIO, other=STDIO) as at:
        for _ in range(2):
            answer = await at.use("tests__crash")
            assert not answer.ok
            assert answer.text == "error: the MCP server 'tests' failed: it ended with status 7: I am done for"
        assert (await at.use("other__echo", {"text": "still here"})).text == "still here"
        assert "I am done for\n" in at.stderr


@pytest.mark.parametrize("tool", ["hang", "stop_reading"])
async def test_a_call_that_takes_too_long_is_given_up(workspace: Path, tool: str):
    async with connected(workspace, Patience(call_s=0.5), tests=STDIO) as at:
        answer = await at.use(f"tests__{tool}")
        assert answer.text == "error: the MCP server 'tests' did not answer within 0.5 s"
        if tool == "hang":
            assert (await at.use("tests__echo", {"text": "on"})).text == "on"
    (pid,) = pids(workspace / "pids")
    assert is_gone(pid)


async def test_a_call_on_http_that_takes_too_long_is_given_up(workspace: Path, url: str):
    async with connected(workspace, Patience(call_s=0.5), web={"url": url}) as at:
        assert (await at.use("web__hang")).text == "error: the MCP server 'web' did not answer within 0.5 s"
        assert (await at.use("web__echo", {"text": "on"})).text == "on"


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ({"command": ["no-such-program"]}, "No such file or directory: 'no-such-program'"),
        ({"command": ["sh", "-c", "echo what >&2; exit 3"]}, "it ended with status 3: what"),
        ({"command": ["true"]}, "it ended with status 0"),
        ({"command": ["a\0b"]}, "embedded null byte"),
        ({"command": ["sh", "-c", "exec >&-; sleep 1000"]}, "Connection closed"),
        ({"command": ["yes", "no JSON"]}, "it did not list its tools within 3 s"),
        ({"command": ["sleep", "1000"]}, "it did not list its tools within 3 s"),
        ({"url": "http://127.0.0.1:1/mcp"}, "connection attempts failed"),
        ({"url": "gopher://x"}, "gopher"),
    ],
)
async def test_a_server_that_cannot_be_used_is_named_with_the_reason(workspace: Path, server: Any, reason: str):
    said = await refusal(workspace, bad=server)
    assert said.startswith("the MCP server 'bad' cannot be used: ")
    assert reason in said


async def test_one_server_that_cannot_be_used_ends_the_others(workspace: Path):
    said = await refusal(workspace, good=STDIO, bad={"command": ["false"]})
    assert said == "the MCP server 'bad' cannot be used: it ended with status 1"


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"x": {}}', '{"x": {"url": "u", "serve": "git"}}', '{"x": {"serve": "y"}}']
)
async def test_what_names_no_servers_is_refused(workspace: Path, text: str):
    async with bench(workspace, workspace.parent / "log") as at:
        with pytest.raises(ServersError, match="MCP server"):
            await with_servers(text, at.toolbox, at.shell).__aenter__()


async def test_an_error_of_those_who_use_it_leaves_it_as_it_is(workspace: Path):
    async with bench(workspace, workspace.parent / "log") as at:
        with pytest.raises(KeyError, match="mine"):
            async with with_servers(json.dumps({"tests": STDIO}), at.toolbox, at.shell):
                raise KeyError("mine")
        await all_are_gone(workspace)
