"""The rules on the MCP servers that a request names."""

import re
from collections.abc import Mapping

import msgspec

from service.errors import InvalidError
from service.http_url import check_http_url
from service.run import McpServer
from service.text import check_text

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_BYTES = 100_000
"""All of them together are one argument of the agent's program."""


def check_servers(servers: Mapping[str, McpServer]) -> dict[str, McpServer]:
    """Return `servers`, or raise `InvalidError`."""
    for name, server in servers.items():
        if not _NAME.fullmatch(name):
            raise InvalidError("request.invalid", "mcp_servers", f"{name[:50]!r} is no name of a-z, A-Z, 0-9, - and _")
        _check(f"mcp_servers.{name}", server)
    if len(msgspec.json.encode(servers)) > _MOST_BYTES:
        raise InvalidError("request.invalid", "mcp_servers", f"more than {_MOST_BYTES} bytes in all, as JSON")
    return dict(servers)


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
