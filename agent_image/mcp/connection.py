"""One MCP server, connected for as long as an agent works."""

import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
from mcp import Client, MCPError
from mcp.types import CONNECTION_CLOSED

from agent_image.mcp.content import text_of
from agent_image.mcp.servers import Patience, Server, command_of
from agent_image.mcp.stdio import messages
from agent_image.shell import Program, Shell
from agent_image.tools import Tool, ToolError

_LEAVE_S = 1.0
"""For a server to end by itself."""
_MOST_PAGES = 100


class Connection:
    """A server and its tools, by its own names for them."""

    def __init__(self, name: str, server: Server, shell: Shell, patience: Patience) -> None:
        self.name = name
        self.tools: Sequence[Tool] = ()
        self.settled = anyio.Event()
        """Set when it can be used, or cannot; then `failure` says why."""
        self.failure = ""
        self._server = server
        self._shell = shell
        self._patience = patience
        self._program: Program | None = None
        self._client: Client | None = None
        self._leaving = anyio.Event()

    async def hold(self) -> None:
        """Connect, and stay so until `leave` is called; whatever the server does, this raises nothing."""
        try:
            with anyio.fail_after(self._patience.start_s) as limit:
                async with self._connected() as client:
                    self.tools = await _list_tools(client)
                    self._client = client
                    limit.deadline = math.inf
                    self.settled.set()
                    await self._leaving.wait()
                    limit.deadline = anyio.current_time() + _LEAVE_S
        except TimeoutError:
            self.failure = f"it did not list its tools within {self._patience.start_s:g} s"
        except Exception as error:  # noqa: BLE001 a program of somebody else's may fail in any way
            self.failure = await self._reason(error)
        finally:
            if self._program:
                await _end(self._program)
            self.settled.set()

    def leave(self) -> None:
        self._leaving.set()

    async def call(self, tool: str, arguments: dict[str, Any]) -> str:
        """Return what a tool answered, as text.

        Raises:
            ToolError: the tool says that it failed, or the server is gone or too slow.

        """
        assert self._client
        try:
            with anyio.fail_after(self._patience.call_s):
                result = await self._client.call_tool(tool, arguments)
        except TimeoutError:
            raise ToolError(f"the MCP server {self.name!r} did not answer within {self._patience.call_s:g} s") from None
        except Exception as error:  # as above
            raise ToolError(f"the MCP server {self.name!r} failed: {await self._reason(error)}") from error
        if result.is_error:
            raise ToolError(text_of(result))
        return text_of(result)

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[Client]:
        if self._server.url:
            async with Client(self._server.url) as client:
                yield client
            return
        self._program = self._shell.start(command_of(self._server), extra=self._server.env)
        async with Client(messages(self._program.child)) as client:
            yield client

    async def _reason(self, error: BaseException) -> str:
        while isinstance(error, BaseExceptionGroup):
            error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
        if self._program and isinstance(error, MCPError) and error.code == CONNECTION_CLOSED:
            with anyio.move_on_after(_LEAVE_S):
                await self._program.shown.wait()
            if self._program.child.status is not None:
                words = self._program.last_words
                return f"it ended with status {self._program.child.status}{words and ': '}{words}"
        return str(error) or type(error).__name__


async def _end(program: Program) -> None:
    """Let a program end that has nothing more to read, and kill it if it does not, or if there is no time for that."""
    try:
        with anyio.move_on_after(_LEAVE_S):
            await program.shown.wait()
    finally:
        program.child.kill()
    with anyio.move_on_after(_LEAVE_S):
        await program.child.ended.wait()


async def _list_tools(client: Client) -> list[Tool]:
    tools: list[Tool] = []
    cursor = None
    for _ in range(_MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools += [Tool(tool.name, tool.description or tool.title or "", tool.input_schema) for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            break
    return tools
