"""The engine's log, read with as little as it takes: a baseline that shares no code with what it is beside."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import msgspec

_EXEC = "dagger.io/engine.buildkit"
_VERBOSE = "dagger.io/logs.verbose"
_STDOUT = 1


async def follow_stdout(port: int, token: str) -> AsyncGenerator[tuple[str, str]]:
    """Yield what a session's execs print, each piece with the trace that it belongs to; a piece is not a line."""
    url = f"http://127.0.0.1:{port}/v1/logs"
    async with (
        httpx2.AsyncClient(auth=(token, ""), timeout=None) as client,
        client.sse(url, max_event_size=None) as source,
    ):
        async for event in source:
            if event.event == "logs":
                for piece in _pieces(msgspec.json.decode(event.data)):
                    yield piece


def _pieces(export: dict[str, Any]) -> list[tuple[str, str]]:
    records = [
        record
        for resource in export.get("resourceLogs", [])
        for scoped in resource.get("scopeLogs", [])
        if scoped.get("scope", {}).get("name") == _EXEC
        for record in scoped.get("logRecords", [])
    ]
    return [(record["traceId"], record["body"].get("stringValue", "")) for record in records if _is_stdout(record)]


def _is_stdout(record: dict[str, Any]) -> bool:
    attributes = {each["key"]: each["value"] for each in record.get("attributes", [])}
    stream = attributes.get("stdio.stream", {}).get("intValue", 0)
    return int(stream) == _STDOUT and _VERBOSE not in attributes
