"""A provider's answer, read within limits of size and time."""

import anyio
import httpx2

from agent_image.gateway.headers import Headers, for_caller
from agent_image.gateway.key import Key
from agent_image.gateway.refusal import RefusedError
from agent_image.gateway.term import Term

_MOST_BYTES = 16 * 1024 * 1024
_CLOSE_S = 2.0


class Answer:
    """An answer whose head is there and whose body is still to come. Has to be closed."""

    def __init__(self, response: httpx2.Response, *, key: Key, silence_s: float, term: Term) -> None:
        self._response = response
        self._chunks = response.aiter_bytes()
        self._key = key
        self._silence_s = silence_s
        self._term = term
        self.size = 0
        """Bytes read so far."""

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def is_stream(self) -> bool:
        return self._response.headers.get("content-type", "").lower().startswith("text/event-stream")

    @property
    def headers(self) -> Headers:
        """Those that are for the caller."""
        return [(name, self.without_key(value)) for name, value in for_caller(self._response.headers.raw)]

    def without_key(self, text: bytes) -> bytes:
        """Return a part of it as it may go on."""
        return self._key.hide(text)

    def hurry(self, seconds: float) -> None:
        """Allow it that much more time, at most."""
        self._term.hurry(seconds)

    async def read(self) -> bytes:
        """Return what comes next of the body; empty at its end.

        Raises:
            RefusedError: it breaks off, makes no progress, takes too long, or is too large.

        """
        chunk = await self._next()
        self.size += len(chunk)
        if self.size > _MOST_BYTES:
            raise RefusedError("llm.too_large", f"The answer is larger than {_MOST_BYTES // 1024 // 1024} MB.")
        return chunk

    async def whole(self) -> bytes:
        """Return all of the body, as it may go on; raises as `read` does."""
        pieces: list[bytes] = []
        while chunk := await self.read():
            pieces.append(chunk)
        return self.without_key(b"".join(pieces))

    async def close(self) -> None:
        """Close it, read or not: the provider then stops."""
        with anyio.move_on_after(_CLOSE_S, shield=True):
            await self._response.aclose()

    async def _next(self) -> bytes:
        """Return the next chunk, which is never empty but at the end."""
        with self._term.limit(self._silence_s):
            try:
                return await anext(self._chunks, b"")
            except httpx2.RequestError as error:
                raise RefusedError("llm.truncated", f"The answer broke off: {type(error).__name__}.") from error
        raise RefusedError("llm.silent", "The answer stopped coming, or took too long.")
