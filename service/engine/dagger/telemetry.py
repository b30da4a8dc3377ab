"""What a session tells about its containers: what they print while they print it, and when a call has ended.

The session serves OTLP as server-sent events, log records at `/v1/logs` and spans at `/v1/traces`, from its start on
or from where a reader left off. Both carry the trace id of the call to the engine that they belong to, which tells
whose they are.
"""

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
import httpx2
import msgspec
from msgspec import Struct

from service.engine.dagger.session import Session
from service.errors import EngineLostError

STDOUT = 1
STDERR = 2

EXEC_SCOPE = "dagger.io/engine.buildkit"
GIT_SCOPE = "dagger.io/gitutil"
_CALL_SCOPE = "dagger.io/core"
_ERROR = "STATUS_CODE_ERROR"
_RECONNECTS = 5


class Chunk(Struct, frozen=True):
    """A piece of the output of an exec, or of git as the engine called it; `eof` says that the stream ends here.

    A chunk is not a line: it may be cut anywhere.
    """

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


class _Status(Struct, frozen=True):
    code: str | int = ""


class _Span(Struct, frozen=True, rename="camel"):
    trace_id: str
    status: _Status = _Status()


class _Scope(Struct, frozen=True):
    name: str = ""


class _Scoped(Struct, frozen=True, rename="camel"):
    scope: _Scope = _Scope()
    log_records: list[_Record] = []
    spans: list[_Span] = []


class _Resource(Struct, frozen=True, rename="camel"):
    scope_logs: list[_Scoped] = []
    scope_spans: list[_Scoped] = []


class _Export(Struct, frozen=True, rename="camel"):
    """An OTLP export request of either kind, as far as it matters here."""

    resource_logs: list[_Resource] = []
    resource_spans: list[_Resource] = []


_decoder = msgspec.json.Decoder(_Export)


async def follow_chunks(session: Session) -> AsyncGenerator[Chunk]:
    """Yield every chunk from the session's start on, in the order in which the engine logged them.

    Raises:
        EngineLostError: the session is gone.

    """
    async with aclosing(_follow(session, "logs")) as exports:
        async for export in exports:
            for resource in export.resource_logs:
                for scoped in resource.scope_logs:
                    for record in scoped.log_records:
                        if chunk := _chunk(scoped.scope.name, record):
                            yield chunk


async def call_aborted(session: Session, trace_id: int) -> None:
    """Wait until a call that was aborted has ended in the engine: its exec has been killed then, and is gone.

    (The stream of an exec that is killed so has no end of its own.)

    Raises:
        EngineLostError: the session is gone.

    """
    async with aclosing(_follow(session, "traces")) as exports:
        async for export in exports:
            for resource in export.resource_spans:
                for scoped in resource.scope_spans:
                    ended = (_trace_id(span.trace_id) for span in scoped.spans if span.status.code == _ERROR)
                    if scoped.scope.name == _CALL_SCOPE and trace_id in ended:
                        return


async def _follow(session: Session, kind: str) -> AsyncGenerator[_Export]:
    """Yield the exports of one kind; a connection that breaks is taken up where it broke, five times in a row."""
    cursor, failures = "", 0
    async with httpx2.AsyncClient(auth=(session.token, ""), timeout=httpx2.Timeout(10, read=None)) as client:
        while failures < _RECONNECTS:
            headers = {"X-Last-Event-ID": cursor} if cursor else {}
            try:
                url = f"http://127.0.0.1:{session.port}/v1/{kind}"
                async with client.sse(url, headers=headers, max_event_size=None) as source:
                    source.response.raise_for_status()
                    async for event in source:
                        if event.event in {"logs", "spans"}:
                            cursor, failures = event.id or cursor, 0
                            yield _decoder.decode(event.data)
            except httpx2.HTTPError:
                await anyio.sleep(0.1)  # the session may be about to answer again; five tries bound the wait
            failures += 1
    raise EngineLostError(f"the engine's {kind} ended")


def _chunk(scope: str, record: _Record) -> Chunk | None:
    attributes = {each.key: each.value for each in record.attributes}
    # A verbose record repeats what a call returned, such as the value of `stdout()`.
    foreign = scope not in {EXEC_SCOPE, GIT_SCOPE} or "dagger.io/logs.verbose" in attributes
    if foreign or "stdio.stream" not in attributes:
        return None
    stream, eof = int(attributes["stdio.stream"].int_value), attributes.get("stdio.eof", _Value()).bool_value
    return Chunk(_trace_id(record.trace_id), scope, stream, record.body.string_value, eof)


def _trace_id(encoded: str) -> int:
    return int.from_bytes(base64.b64decode(encoded))
