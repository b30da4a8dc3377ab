"""A server of the tests' own: `python mcp_server.py stdio`, or `http`, which prints its URL first."""

import os
import signal
import socket
import sys
from pathlib import Path

import anyio
import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Image
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import EmbeddedResource, ResourceLink, TextContent, TextResourceContents

server = MCPServer("tests", log_level="WARNING")


@server.tool(structured_output=False)
async def echo(text: str) -> str:
    """Say it again."""
    return text


@server.tool(structured_output=False)
async def where() -> str:
    """The working directory, and the variables."""
    return "\n".join([os.getcwd(), *(f"{name}={value}" for name, value in os.environ.items())])  # noqa: PTH109


@server.tool(structured_output=False)
async def refuse() -> str:
    """Fail as tools do."""
    raise ToolError("not today")


@server.tool(structured_output=False)
async def hang() -> str:
    """Never answer."""
    await anyio.sleep_forever()
    return ""


@server.tool(structured_output=False)
async def stop_reading() -> str:
    """Hang so hard that not even a signal for its end is heard."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()


@server.tool(structured_output=False)
async def crash() -> str:
    """End in the middle of a call."""
    print("I am done for", file=sys.stderr, flush=True)  # noqa: T201
    os._exit(7)


@server.tool(structured_output=False)
async def repeat(text: str, times: int) -> str:
    """Say it many times over."""
    return text * times


@server.tool(structured_output=False)
async def media() -> list[TextContent | Image | ResourceLink | EmbeddedResource]:
    """Answer with more than text."""
    return [
        TextContent(type="text", text="look:"),
        Image(data=b"12345", format="png"),
        ResourceLink(type="resource_link", name="page", uri="https://example.invalid/page"),
        EmbeddedResource(type="resource", resource=TextResourceContents(uri="memo://1", text="a memo")),
    ]


@server.tool()
async def add(a: int, b: int) -> int:
    """Answer with structure."""
    return a + b


@server.tool(name="odd name.of/a tool" + "x" * 100, structured_output=False)
async def odd() -> str:
    """Have a name that no provider takes."""
    return "odd"


@server.tool(name="odd_name.of/a tool" + "x" * 100, structured_output=False)
async def odder() -> str:
    """Have one that becomes the same."""
    return "odder"


def serve_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)  # noqa: T201
        config = uvicorn.Config(server.streamable_http_app(), log_level="warning")
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    (Path.cwd() / "pids").open("a").write(f"{os.getpid()}\n")
    serve_http() if sys.argv[1] == "http" else server.run("stdio")
