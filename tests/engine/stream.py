"""A run's stream, read while it goes on."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import msgspec
from msgspec import Struct

from service.frames import FrameName


class Seen(Struct, frozen=True):
    """A frame of the log as a live viewer gets it."""

    id: str
    name: str
    raw: str
    """What its `data:` holds, undecoded."""

    @property
    def data(self) -> dict[str, Any]:
        return msgspec.json.decode(self.raw)

    @property
    def event(self) -> dict[str, Any]:
        return self.data["event"]


async def follow(client: httpx2.AsyncClient, run: str, *, after: str = "") -> AsyncGenerator[Seen]:
    """Yield the frames after an id as they come, to the run's last; heartbeats are left out."""
    headers = {"Last-Event-ID": after} if after else {}
    async with client.sse(f"{run}/stream", headers=headers, timeout=120, max_event_size=None) as source:
        async for event in source:
            if event.event != FrameName.HEARTBEAT:
                yield Seen(event.id or "", event.event, event.data)
