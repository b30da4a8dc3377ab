"""MCP servers of our own, on stdin and stdout: the repository's files, and git."""

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Literal

from agent_image.mcp.packages import find_packages
from agent_image.tools import ToolError
from agent_image.workspace import Workspace, WorkspaceError

_CHANGING = frozenset({"write", "edit", "move", "delete", "add", "commit", "restore"})

Function = Callable[..., Awaitable[str]]


def serve(which: Literal["files", "git"], directory: Path) -> None:
    """Serve the tools on the repository in `directory` until stdin ends."""
    find_packages()
    # Here, for it takes a second, and what runs an agent without servers has no `mcp`.
    from mcp.server import MCPServer  # noqa: PLC0415
    from mcp.types import ToolAnnotations  # noqa: PLC0415

    server = MCPServer(which, log_level="WARNING")
    for name, tool in _tools_of(which, directory).items():
        hints = ToolAnnotations(read_only_hint=name not in _CHANGING, open_world_hint=False)
        server.add_tool(_told(tool), name=name, annotations=hints, structured_output=False)
    server.run("stdio")


def _tools_of(which: Literal["files", "git"], directory: Path) -> dict[str, Function]:
    from agent_image.mcp.file_tools import FileTools  # noqa: PLC0415
    from agent_image.mcp.git_tools import GitTools  # noqa: PLC0415

    tools = FileTools(Workspace(directory)) if which == "files" else GitTools(directory)
    return {name: tool for name, tool in inspect.getmembers(tools, inspect.ismethod) if not name.startswith("_")}


def _told(tool: Function) -> Function:
    """Have the agent told what was wrong with its call; any other exception is ours, and stays here."""
    from mcp.server.mcpserver.exceptions import ToolError as ToldError  # noqa: PLC0415

    @wraps(tool)
    async def use(**arguments: object) -> str:
        try:
            return await tool(**arguments)
        except (ToolError, WorkspaceError, OSError, RecursionError) as error:  # the last for a path of many levels
            raise ToldError(str(error)) from error

    return use
