"""The MCP servers that a run gives to its agents, as the harness is told of them."""

import sys
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

_CMDLINE = Path("/proc/self/cmdline")


class ServersError(Exception):
    """The text names no servers, or one of them cannot be used; the message is for people."""


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Exactly one of `command`, `url` and `serve` is set."""

    command: tuple[str, ...] = ()
    """A program of the container and its arguments, which speaks MCP on stdin and stdout."""
    env: dict[str, str] = {}
    """Variables for `command`."""
    url: str = ""
    """A server that is reached by streamable HTTP."""
    serve: Literal["files", "git", ""] = ""
    """A server of our own, on the repository."""


class Patience(Struct, frozen=True, kw_only=True):
    """How long a server may take, in seconds."""

    start_s: float = 30.0
    """Until it has listed its tools."""
    call_s: float = 60.0


def read_servers(text: str) -> dict[str, Server]:
    """Return the servers by name; none for an empty text.

    Raises:
        ServersError: it is no such JSON, or a server is not exactly one of the three kinds.

    """
    if not text:
        return {}
    try:
        servers = msgspec.json.decode(text, type=dict[str, Server])
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ServersError(f"the MCP servers cannot be read: {error}") from error
    for name, server in servers.items():
        if sum(map(bool, (server.command, server.url, server.serve))) != 1:
            raise ServersError(f"the MCP server {name!r} needs one of command, url and serve")
    return servers


def command_of(server: Server) -> tuple[str, ...]:
    """The command line of a server that is a program; one of ours is this very harness, in another role."""
    return (*_own_command(), f"--serve={server.serve}") if server.serve else server.command


def _own_command() -> list[str]:
    """What started this process, its arguments apart: the loader, the interpreter and how it finds the harness."""
    started = _CMDLINE.read_bytes().decode().split("\0")[:-1]
    return started[: len(started) - len(sys.argv[1:])]
