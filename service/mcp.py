"""The rules on the MCP servers that a request names."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from service.errors import InvalidError
from service.http_url import check_http_url
from service.run import McpServer
from service.text import check_text

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_BYTES = 100_000
"""All of them together are one argument of the agent's program."""


def check_servers(servers: Mapping[str, Any]) -> dict[str, McpServer]:
    """Return what `servers` describe, or raise `InvalidError`."""
    found: dict[str, McpServer] = {}
    for name, given in servers.items():
        if not _NAME.fullmatch(name):
            raise InvalidError("request.invalid", "mcp_servers", f"{name[:50]!r} is no name of a-z, A-Z, 0-9, - and _")
        found[name] = _server(f"mcp_servers.{name}", given)
        _check(f"mcp_servers.{name}", found[name])
    if len(msgspec.json.encode(found)) > _MOST_BYTES:
        raise InvalidError("request.invalid", "mcp_servers", f"more than {_MOST_BYTES} bytes in all, as JSON")
    return found


def _server(field: str, given: Any) -> McpServer:
    try:
        return msgspec.convert(given, McpServer)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        why = f"{what}; a server has command and env, or url, or serve (files or git)"
        raise InvalidError("request.invalid", field + path.rstrip("`"), why) from error


def _check(field: str, server: McpServer) -> None:
    if sum(map(bool, (server.command, server.url, server.serve))) != 1:
        raise InvalidError("request.invalid", field, "it needs one of command, url and serve")
    if server.env and not server.command:
        raise InvalidError("request.invalid", f"{field}.env", "variables are for a command")
    for index, word in enumerate(server.command):
        check_text(f"{field}.command[{index}]", word, empty=index > 0)
    for name, value in server.env.items():
        if not _VARIABLE.fullmatch(name):
            raise InvalidError("request.invalid", f"{field}.env", f"{name[:50]!r} is no name of a variable")
        check_text(f"{field}.env.{name}", value, empty=True)
    if server.url:
        try:
            check_http_url(server.url)
        except ValueError as error:
            raise InvalidError("request.invalid", f"{field}.url", str(error)) from error
