"""`python -m tests.bench.streamer PORT`: a provider whose stream is the time, again and again."""

import sys
import time
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import msgspec
import uvicorn
from litestar import Litestar, Request, post
from litestar.response import Stream
from msgspec import Struct

_BEGIN = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant",'
    b'"content":[],"model":"bench","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,'
    b'"output_tokens":1}}}\n\nevent: content_block_start\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\n\n'
)
_END = (
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\nevent: message_delta\ndata: '
    b'{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":1}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":'
    b'{"type":"text_delta","text":"%.6f"}}\n\n'
)


class Asked(Struct):
    """A request of Messages, as far as it counts here."""

    model: str
    """`NAME-NUMBER`: so many deltas come."""
    temperature: float = 0.0
    """Seconds from one to the next."""


@post("/v1/messages", status_code=200)
async def messages(request: Request[Any, Any, Any]) -> Stream:
    asked = msgspec.json.decode(await request.body(), type=Asked)
    return Stream(_stream(asked), media_type="text/event-stream")


async def _stream(asked: Asked) -> AsyncGenerator[bytes]:
    yield _BEGIN
    for _ in range(int(asked.model.rpartition("-")[2])):
        if asked.temperature:
            await anyio.sleep(asked.temperature)
        yield DELTA % time.time()
    yield _END


if __name__ == "__main__":
    uvicorn.run(Litestar([messages]), port=int(sys.argv[1]), log_level="error", access_log=False)
