"""What a session's containers print, while they print it.

The session serves the engine's log records (OTLP) as server-sent events at `/v1/logs`. A record is a chunk, not a line:
it may be cut anywhere. Records carry the trace id of the call that started the exec, which tells whose output they are.
"""

import base64
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import httpx2
import msgspec
from msgspec import Struct

from service.engine.dagger_session import Session
from service.errors import EngineLostError

STDOUT = 1
STDERR = 2

EXEC_SCOPE = "dagger.io/engine.buildkit"
GIT_SCOPE = "dagger.io/gitutil"
_RECONNECTS = 5


class Chunk(Struct, frozen=True):
    """A piece of the output of an exec, or of git as the engine called it; `eof` says that the stream ends here."""

    trace_id: int
    scope: str
    stream: int
    text: str
    eof: bool


class _Value(Struct, frozen=True, rename="camel"):
    string_value: str = ""
    int_value: str | int = 0
    bool_value: bool = False


class _Attribute(Struct, frozen=True):
    key: str
    value: _Value


class _Record(Struct, frozen=True, rename="camel"):
    body: _Value = _Value()
    attributes: list[_Attribute] = []
    trace_id: str = ""


class _Scope(Struct, frozen=True):
    name: str = ""


class _ScopeLogs(Struct, frozen=True, rename="camel"):
    scope: _Scope = _Scope()
    log_records: list[_Record] = []


class _ResourceLogs(Struct, frozen=True, rename="camel"):
    scope_logs: list[_ScopeLogs] = []


class _Export(Struct, frozen=True, rename="camel"):
    """An OTLP `ExportLogsServiceRequest`, as far as it matters here."""

    resource_logs: list[_ResourceLogs] = []


_decoder = msgspec.json.Decoder(_Export)


async def follow_chunks(session: Session) -> AsyncGenerator[Chunk]:
    """Yield every chunk from the session's start on, in the order in which the engine logged them.

    A connection that breaks is taken up where it broke.

    Raises:
        EngineLostError: it broke, and came back five times in a row without a record.

    """
    cursor, failures = "", 0
    async with httpx2.AsyncClient(auth=(session.token, ""), timeout=httpx2.Timeout(10, read=None)) as client:
        while failures < _RECONNECTS:
            headers = {"X-Last-Event-ID": cursor} if cursor else {}
            try:
                url = f"http://127.0.0.1:{session.port}/v1/logs"
                async with client.sse(url, headers=headers, max_event_size=None) as source:
                    source.response.raise_for_status()
                    async for event in source:
                        if event.event == "logs":
                            cursor, failures = event.id or cursor, 0
                            for chunk in _chunks(event.data):
                                yield chunk
            except httpx2.HTTPError:
                await anyio.sleep(0.1)  # the session may be about to answer again; five tries bound the wait
            failures += 1
    raise EngineLostError("the engine's log ended")


def _chunks(data: str) -> list[Chunk]:
    export = _decoder.decode(data)
    return [
        chunk
        for resource in export.resource_logs
        for scoped in resource.scope_logs
        if scoped.scope.name in {EXEC_SCOPE, GIT_SCOPE}
        for record in scoped.log_records
        if (chunk := _chunk(scoped.scope.name, record)) is not None
    ]


def _chunk(scope: str, record: _Record) -> Chunk | None:
    attributes: dict[str, Any] = {each.key: each.value for each in record.attributes}
    # A verbose record repeats what a call returned, such as the value of `stdout()`.
    if "stdio.stream" not in attributes or "dagger.io/logs.verbose" in attributes:
        return None
    trace_id = int.from_bytes(base64.b64decode(record.trace_id))
    eof = "stdio.eof" in attributes and attributes["stdio.eof"].bool_value
    return Chunk(trace_id, scope, int(attributes["stdio.stream"].int_value), record.body.string_value, eof)
