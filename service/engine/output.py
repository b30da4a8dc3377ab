"""Live output, by producer: the session's chunks, sorted by trace id and joined to lines."""

import secrets
from collections.abc import AsyncIterable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime

import anyio
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from service.engine import Line, Producer
from service.engine.dagger.telemetry import EXEC_SCOPE, STDERR, STDOUT, Chunk
from service.engine.lines import LineSplitter

_FIRST_CHUNK_S = 0.3
_LAST_CHUNK_S = 5.0
_GIT_WORDS_S = 1.0


@contextmanager
def unheard() -> Generator[None]:
    """Make calls to the engine whose execs nobody wants to hear: what builds an image is no producer's output."""
    with trace.use_span(trace.INVALID_SPAN):
        yield


class Output:
    """What one producer prints, from the start of its call to the end of its stream.

    Lines wait in a bounded stream: who reads slowly slows the reading of the log, and nothing is dropped.
    """

    def __init__(self, producer: Producer) -> None:
        self.trace_id = secrets.randbits(128) | 1
        self._git_said = ""
        self._git_spoke = anyio.Event()
        self._producer: Producer = producer
        self._splitters = {STDOUT: LineSplitter(), STDERR: LineSplitter()}
        self._begun = anyio.Event()
        self._ended = anyio.Event()
        self._send, self.lines = anyio.create_memory_object_stream[Line](1_000)

    @contextmanager
    def traced(self) -> Generator[None]:
        """Make calls to the engine whose execs print here."""
        context = SpanContext(
            self.trace_id, secrets.randbits(64) | 1, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
        )
        with trace.use_span(NonRecordingSpan(context)):
            yield

    async def settle(self) -> None:
        """Wait until the last line is here, once the exec has ended.

        Its records follow within a tenth of a second. An exec that was answered from the cache prints nothing at all,
        so there the wait is short; and all of it is bounded: what is missing then is taken from the final output.
        """
        with anyio.move_on_after(_FIRST_CHUNK_S):
            await self._begun.wait()
        if self._begun.is_set():
            with anyio.move_on_after(_LAST_CHUNK_S):
                await self._ended.wait()

    async def end_when_ended(self) -> None:
        """Come to the end when the exec's stream does, whenever that may be."""
        await self._ended.wait()
        self.end()

    def end(self) -> None:
        """No line comes any more: whoever reads `lines` comes to their end."""
        self._send.close()

    async def words_of_git(self) -> str:
        """What git wrote to stderr on behalf of this call: why a clone failed. Bounded: it may have said nothing."""
        with anyio.move_on_after(_GIT_WORDS_S):
            await self._git_spoke.wait()
        return self._git_said

    async def take(self, chunk: Chunk) -> None:
        """Add a chunk; lines that it completes go out. Nobody reading any more is no error."""
        if chunk.scope != EXEC_SCOPE:
            if chunk.stream == STDERR and chunk.text:
                self._git_said += chunk.text
                self._git_spoke.set()
            return
        self._begun.set()
        splitter = self._splitters[chunk.stream]
        lines = splitter.feed(chunk.text.encode())
        if chunk.eof and (rest := splitter.end()):
            lines.append(rest)
        if chunk.text and self._ended.is_set():
            self._ended = anyio.Event()  # what ended was an exec before this one
        now = datetime.now(UTC)
        try:
            for line in lines:
                await self._send.send(Line(self._producer, line, now))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        if chunk.eof and chunk.stream == STDOUT:
            self._ended.set()

    def close(self) -> None:
        """Nobody reads any more."""
        self._send.close()
        self.lines.close()


class Outputs:
    """The outputs of one session that somebody reads."""

    def __init__(self) -> None:
        self._by_trace: dict[int, Output] = {}

    @contextmanager
    def listen(self, producer: Producer) -> Generator[Output]:
        """Make an output, which gets its chunks for as long as the block lasts."""
        output = Output(producer)
        self._by_trace[output.trace_id] = output
        try:
            yield output
        finally:
            del self._by_trace[output.trace_id]
            output.close()

    async def distribute(self, chunks: AsyncIterable[Chunk]) -> None:
        async for chunk in chunks:
            if output := self._by_trace.get(chunk.trace_id):
                await output.take(chunk)
