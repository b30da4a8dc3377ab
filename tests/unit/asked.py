"""The built-in agent's models, asked over real sockets, and what became of it."""

import asyncio
import json
import os
import re
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from agent_image.emitter import Emitter
from agent_image.gateway.plan import Wire
from agent_image.model import Conversation, Model, Turn
from agent_image.providers import provider_model
from agent_image.providers.settings import Settings
from agent_image.speech import Speech
from agent_image.task import Access
from agent_image.tools import TOOLS

WIRES: tuple[Wire, ...] = ("messages", "responses", "chat")


def connect(wire: Wire, url: str, key: str = "fake-key", temperature: float | None = None):
    settings = Settings(
        access=Access(url, key),
        model="fake-model",
        instructions="Be good.",
        tools=TOOLS,
        temperature=temperature,
        conversation="run/0",
    )
    return provider_model(wire, settings)


async def ask(model: Model, conversation: Conversation) -> Turn:
    """Ask where nobody listens."""
    nobody = os.open(os.devnull, os.O_WRONLY)
    speech = Speech(Emitter(nobody))
    try:
        return await model.ask(conversation, speech)
    finally:
        speech.close()
        os.close(nobody)


def answers_in(wire: Wire, body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The tools' answers in a request, in its order: the call's id and the text."""
    match wire:
        case "messages":
            blocks = [block for message in body["messages"] for block in message["content"]]
            found = [block for block in blocks if block["type"] == "tool_result"]
            return [(block["tool_use_id"], block["content"]) for block in found]
        case "responses":
            found = [item for item in body["input"] if item.get("type") == "function_call_output"]
            return [(item["call_id"], item["output"]) for item in found]
        case "chat":
            found = [message for message in body["messages"] if message["role"] == "tool"]
            return [(message["tool_call_id"], message["content"]) for message in found]


class RawProvider:
    """Says exactly what it was given, an answer a request, and keeps what it was asked."""

    def __init__(self, answers: Iterator[bytes]) -> None:
        self._answers = answers
        self.url = ""
        self.bodies: list[Any] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert length is not None
        self.bodies.append(json.loads(await reader.readexactly(int(length[1]))))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        writer.write(next(self._answers))
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def raw_provider(*answers: Sequence[bytes]) -> AsyncGenerator[RawProvider]:
    provider = RawProvider(b"".join(answer) for answer in answers)
    async with await asyncio.start_server(provider.serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        provider.url = f"http://{host}:{port}"
        yield provider
