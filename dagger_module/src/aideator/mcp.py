"""The rules on the MCP servers that are given to the agents."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

_FLAG = "--mcp-servers"
_KINDS = ("command", "url", "serve")
_OWN = ("files", "git")


def check_servers(text: str) -> None:
    """Check a JSON object of servers by name, each of them `{command, env}`, `{url}` or `{serve}`; empty for none.

    Raises:
        ValueError: it is none; the message names the server.

    """
    if not text:
        return
    try:
        servers = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{_FLAG} is no JSON: {error}") from error
    if not isinstance(servers, dict):
        raise TypeError(f"{_FLAG} has to be a JSON object of servers by name")
    for name, server in cast("dict[str, Any]", servers).items():
        if not isinstance(server, dict):
            raise TypeError(f"{_FLAG}: {name!r} is no object")
        if reason := next(_wrong(cast("dict[str, Any]", server)), ""):
            raise ValueError(f"{_FLAG}: {name!r} {reason}")


def _wrong(server: Mapping[str, Any]) -> Iterator[str]:
    """What keeps this from being a server."""
    if unknown := server.keys() - {*_KINDS, "env"}:
        yield f"has {', '.join(sorted(unknown))}, which no server has"
    if sum(bool(server.get(kind)) for kind in _KINDS) != 1:
        yield "needs one of command, url and serve"
    if server.get("env") and not server.get("command"):
        yield "has env, and variables are for a command"
    if not (isinstance(command := server.get("command", []), list) and _are_texts(cast("list[Any]", command))):
        yield "needs an array of texts as its command"
    if not (isinstance(env := server.get("env", {}), dict) and _are_texts(cast("dict[str, Any]", env).values())):
        yield "needs an object of texts as its env"
    if not _is_http(server.get("url", "")):
        yield "needs a URL of http or https"
    if server.get("serve", "") not in ("", *_OWN):
        yield f"serves {' or '.join(_OWN)}, nothing else"


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(each, str) for each in values)


def _is_http(url: Any) -> bool:
    return isinstance(url, str) and (not url or url.startswith(("http://", "https://")))
