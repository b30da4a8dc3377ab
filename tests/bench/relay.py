"""What the gateway adds to a model's stream: the same streams through it, and from the provider itself."""

import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from socket import create_server
from tempfile import TemporaryDirectory

import anyio
import httpx2
from msgspec import Struct

from agent_image.gateway.plan import Grant, Plan, Provider
from service.engine import Models
from tests.bench.errors import BenchError
from tests.child_gateway import ChildGateway

AGENTS = 8
PACED_DELTAS, PACE_S = 100, 0.02
FLAT_OUT_DELTAS = 3000
_START_S = 30.0
_STAMP = b'"text_delta","text":"'
_TOKEN = "bench"


class Streams(Struct, frozen=True):
    """What a number of agents saw of their models' answers, side by side."""

    delays: list[float]
    """Seconds from each delta's making to its receipt."""
    seconds: float
    """From the first request to the last answer's end."""


class Relayed(Struct, frozen=True):
    """A provider, and a gateway before it."""

    provider: str
    gateway: str


@asynccontextmanager
async def relayed() -> AsyncGenerator[Relayed]:
    """Serve both, each a process of its own."""
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    provider = f"http://127.0.0.1:{port}"
    grant = Grant(token=_TOKEN, variation=0, models={"bench": "bench"}, lifetime_s=86_400)
    known = Provider(name="bench", wire="messages", base_url=provider)
    models = Models(plan=Plan(control_token="control", providers=[known], grants=[grant]), keys={})
    async with await anyio.open_process([sys.executable, "-m", "tests.bench.streamer", str(port)]) as process:
        await _until_served(provider)
        with TemporaryDirectory() as folder:
            async with ChildGateway(models, Path(folder)).running() as gateway, anyio.create_task_group() as tasks:
                tasks.start_soon(_drain, gateway)
                yield Relayed(provider, gateway.url)
                gateway.end()
        process.terminate()


async def paced(url: str) -> Streams:
    """Answers at the pace of a fast model."""
    return await _ask_all(url, {"max_tokens": PACED_DELTAS, "temperature": PACE_S})


async def flat_out(url: str) -> Streams:
    """Answers as fast as they can be made: what counts is the processor."""
    return await _ask_all(url, {"max_tokens": FLAT_OUT_DELTAS})


async def _ask_all(url: str, asked: Mapping[str, float]) -> Streams:
    delays: list[float] = []
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False) as client:
        begun = time.monotonic()
        async with anyio.create_task_group() as agents:
            for _ in range(AGENTS):
                agents.start_soon(_ask, client, asked, delays)
        seconds = time.monotonic() - begun
    if len(delays) != AGENTS * asked["max_tokens"]:
        raise BenchError(f"{len(delays)} deltas came, not {AGENTS * asked['max_tokens']}")
    return Streams(delays, seconds)


async def _ask(client: httpx2.AsyncClient, asked: Mapping[str, float], delays: list[float]) -> None:
    body = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": "go"}], **asked}
    async with client.stream("POST", "/v1/messages", json=body, headers={"x-api-key": _TOKEN}) as answer:
        answer.raise_for_status()
        rest = b""
        async for chunk in answer.aiter_raw():
            now = time.time()
            *events, rest = (rest + chunk).split(b"\n\n")
            delays += [
                now - float(event.rpartition(_STAMP)[2].partition(b'"')[0]) for event in events if _STAMP in event
            ]


async def _drain(gateway: ChildGateway) -> None:
    async for _ in gateway.lines():
        pass


async def _until_served(url: str) -> None:
    with anyio.fail_after(_START_S):
        async with httpx2.AsyncClient(trust_env=False) as client:
            while True:
                try:
                    await client.get(url)
                except httpx2.TransportError:
                    await anyio.sleep(0.05)
                else:
                    return
