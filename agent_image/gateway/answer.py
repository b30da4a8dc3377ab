"""A provider's answer, read within limits of size and time."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
import httpx2
from msgspec import Struct

from agent_image.gateway.refusal import RefusedError

_MOST_BYTES = 16 * 1024 * 1024
_CLOSE_S = 2.0
_LONGEST_TEXT = 500
_PASSED_ON = {
    b"content-type",
    b"request-id",
    b"x-request-id",
    b"retry-after",
    b"retry-after-ms",
    b"x-should-retry",
    b"openai-processing-ms",
}
_PASSED_ON_PREFIXES = (b"anthropic-ratelimit-", b"x-ratelimit-")


class Rejected(Struct, frozen=True):
    """The provider's own error, which is the caller's to understand."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def text(self) -> str:
        """The beginning of the body."""
        return self.body[:_LONGEST_TEXT].decode(errors="replace")


class Answer:
    """An answer whose head is there and whose body is still to come. Has to be closed."""

    def __init__(self, response: httpx2.Response, *, silence_s: float, ends_at: float) -> None:
        self._response = response
        self._silence_s = silence_s
        self._ends_at = ends_at

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def is_stream(self) -> bool:
        return self._response.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Those that are for the caller."""
        lowered = ((name.lower(), value) for name, value in self._response.headers.raw)
        return [(name, value) for name, value in lowered if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)]

    def hurry(self, seconds: float) -> None:
        """Allow it that much more time, at most."""
        self._ends_at = min(self._ends_at, anyio.current_time() + seconds)

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body as it comes.

        Raises:
            RefusedError: it breaks off, makes no progress, takes too long, or is too large.

        """
        size = 0
        async with aclosing(self._response.aiter_bytes()) as chunks:
            while chunk := await self._next(chunks):
                size += len(chunk)
                if size > _MOST_BYTES:
                    raise RefusedError("llm.too_large", f"The answer is larger than {_MOST_BYTES // 1024 // 1024} MB.")
                yield chunk

    async def whole(self) -> bytes:
        """Return all of the body; raises as `chunks` does."""
        return b"".join([chunk async for chunk in self.chunks()])

    async def close(self) -> None:
        """Close it, read or not: the provider then stops."""
        with anyio.move_on_after(_CLOSE_S, shield=True):
            await self._response.aclose()

    async def _next(self, chunks: AsyncGenerator[bytes]) -> bytes:
        """Return the next chunk, which is never empty but at the end."""
        with anyio.CancelScope(deadline=min(anyio.current_time() + self._silence_s, self._ends_at)):
            try:
                return await anext(chunks, b"")
            except httpx2.RequestError as error:
                raise RefusedError("llm.truncated", f"The answer broke off: {type(error).__name__}.") from error
        raise RefusedError("llm.silent", "The answer stopped coming, or took too long.")
