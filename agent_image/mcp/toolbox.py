"""The tools of MCP servers beside the repository's own."""

import re
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import msgspec

from agent_image.excerpt import shortened
from agent_image.mcp.packages import find_packages
from agent_image.mcp.servers import Patience, Server, ServersError, read_servers
from agent_image.model import ToolAnswer, ToolCall
from agent_image.shell import Shell
from agent_image.tools import Tool, Toolbox, ToolError

if TYPE_CHECKING:
    from agent_image.mcp.connection import Connection

_PATIENCE = Patience()
_LONGEST_NAME = 64
_LONGEST_DESCRIPTION = 1024
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
"""What providers take, each of them."""


@asynccontextmanager
async def with_servers(mcp: str, own: Toolbox, shell: Shell, patience: Patience = _PATIENCE) -> AsyncGenerator[Toolbox]:
    """Add the tools of servers to `own`, and keep those connected until the block is left, by the task that entered it.

    `mcp` names the servers, as JSON; without any, `own` is all. Programs are started by `shell`, with its environment.

    Raises:
        ServersError: `mcp` cannot be read, or a server cannot be used.

    """
    servers = read_servers(mcp)
    if not servers:
        yield own
        return
    connections = _connections(servers, shell, patience)
    try:
        async with anyio.create_task_group() as group:
            for connection in connections:
                group.start_soon(connection.hold)
            try:
                await _settle(connections)
                yield ServersToolbox(own, connections)
            finally:
                for connection in connections:
                    connection.leave()
    except ExceptionGroup as errors:  # of one, the block's own: connections raise nothing
        raise errors.exceptions[0] from None


class ServersToolbox:
    """A toolbox that knows whose each tool is."""

    def __init__(self, own: Toolbox, connections: Collection["Connection"]) -> None:
        self._own = own
        self._owned = {tool.name for tool in own.tools}
        self._offers = _offers(connections, self._owned)
        self.tools = (*own.tools, *(offer.tool for offer in self._offers.values()))

    @property
    def may_print(self) -> bool:
        return self._own.may_print

    async def use(self, call: ToolCall) -> ToolAnswer:
        if call.tool in self._owned:
            return await self._own.use(call)
        try:
            offer = self._offer(call.tool)
            text = await offer.connection.call(offer.name, _arguments(call))
        except ToolError as error:
            return ToolAnswer(call=call.id, ok=False, text=shortened(f"error: {error}"))
        return ToolAnswer(call=call.id, ok=True, text=shortened(text))

    def _offer(self, tool: str) -> "_Offer":
        if tool not in self._offers:
            raise ToolError(f"there is no tool {tool!r}; there are: {', '.join(known.name for known in self.tools)}")
        return self._offers[tool]


def _connections(servers: Mapping[str, Server], shell: Shell, patience: Patience) -> list["Connection"]:
    find_packages()
    try:  # here, for it takes a second, and what runs an agent without servers has no `mcp`
        from agent_image.mcp.connection import Connection  # noqa: PLC0415
    except ImportError as error:
        raise ServersError(f"what talks to MCP servers is not installed: {error}") from error
    return [Connection(name, server, shell, patience) for name, server in servers.items()]


async def _settle(connections: Collection["Connection"]) -> None:
    for connection in connections:
        await connection.settled.wait()
    failures = [f"the MCP server {each.name!r} cannot be used: {each.failure}" for each in connections if each.failure]
    if failures:
        raise ServersError("; ".join(failures))


class _Offer(NamedTuple):
    tool: Tool
    """As models know it."""
    name: str
    """As its server knows it."""
    connection: "Connection"


def _offers(connections: Collection["Connection"], taken: Collection[str]) -> dict[str, _Offer]:
    offers: dict[str, _Offer] = {}
    for connection in connections:
        for tool in connection.tools:
            name = _free_name(f"{connection.name}__{tool.name}", {*taken, *offers})
            # Some providers want `properties` of an object that has none.
            known = Tool(name, tool.description[:_LONGEST_DESCRIPTION], {"properties": {}, **tool.parameters})
            offers[name] = _Offer(known, tool.name, connection)
    return offers


def _free_name(wanted: str, taken: Collection[str]) -> str:
    name = base = _NOT_IN_NAMES.sub("_", wanted)[:_LONGEST_NAME]
    number = 1
    while name in taken:
        number += 1
        name = f"{base[: _LONGEST_NAME - len(f'_{number}')]}_{number}"
    return name


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        return msgspec.json.decode(call.arguments, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ToolError(f"bad arguments for {call.tool}: {error}") from error
