"""What the gateway adds to a model's stream: the same streams through it, and from the provider itself."""

import os
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from socket import create_server
from tempfile import TemporaryDirectory

import anyio
import httpx2
from msgspec import Struct

from agent_image.emitter import Emitter
from agent_image.gateway.plan import Grant, Plan, Provider
from agent_image.model import Told
from agent_image.providers import provider_model
from agent_image.providers.settings import Settings
from agent_image.speech import Speech
from agent_image.task import Access
from service.engine import Models
from tests.bench.child_gateway import ChildGateway
from tests.bench.errors import BenchError

AGENTS = 8
PACED_DELTAS, PACE_S = 100, 0.02
FLAT_OUT_DELTAS = 3000
_START_S = 30.0
_STAMP = b'"text_delta","text":"'
_TOKEN = "bench"
_PACED, _FLAT_OUT = f"paced-{PACED_DELTAS}", f"flat-out-{FLAT_OUT_DELTAS}"


class Streams(Struct, frozen=True):
    """What a number of agents saw of their models' answers, side by side."""

    delays: list[float]
    """Seconds from each delta's making to its receipt; none where it is not noted."""
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
    grant = Grant(token=_TOKEN, variation=0, models=dict.fromkeys((_PACED, _FLAT_OUT), "bench"), lifetime_s=86_400)
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
    """Answers at the pace of a fast model, to callers that do nothing but note when they come."""
    delays: list[float] = []
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False) as client:
        seconds = await _side_by_side(partial(_ask, client, delays))
    if len(delays) != AGENTS * PACED_DELTAS:
        raise BenchError(f"{len(delays)} deltas came, not {AGENTS * PACED_DELTAS}")
    return Streams(delays, seconds)


async def flat_out(url: str) -> Streams:
    """Answers as fast as they can be made, to our own agent, which reads them with the provider's SDK."""
    with open(os.devnull, "wb") as nowhere:  # noqa: ASYNC230, PTH123 -- a descriptor, and of a file that never waits
        emitter = Emitter(nowhere.fileno())
        return Streams([], await _side_by_side(partial(_listen, url, emitter)))


async def _side_by_side(work: Callable[[], Coroutine[None, None, None]]) -> float:
    begun = time.monotonic()
    async with anyio.create_task_group() as agents:
        for _ in range(AGENTS):
            agents.start_soon(work)
    return time.monotonic() - begun


async def _listen(url: str, emitter: Emitter) -> None:
    settings = Settings(access=Access(url, _TOKEN), model=_FLAT_OUT, instructions="go", tools=())
    async with provider_model("messages", settings) as model:
        speech = Speech(emitter)
        await model.ask([Told("go")], speech)
        speech.close()


async def _ask(client: httpx2.AsyncClient, delays: list[float]) -> None:
    body = {
        "model": _PACED,
        "max_tokens": 1000,
        "temperature": PACE_S,
        "stream": True,
        "messages": [{"role": "user", "content": "go"}],
    }
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
