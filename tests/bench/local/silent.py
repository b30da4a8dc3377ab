"""What the service takes of the memory for a variation that runs and says nothing."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2
import msgspec

from service.frames import FrameName
from service.run import Accepted
from tests.bench.errors import BenchError
from tests.bench.limit import limit
from tests.bench.served import Served

FEW, MANY = 1, 17
_START_S = 120.0


async def memory_of_a_variation(service: Served) -> float:
    """Bytes of the service's own that it has more for each of `MANY` running variations than for `FEW`."""
    async with _silent(service, FEW):
        few = service.memory()
        async with _silent(service, MANY - FEW):
            return (service.memory() - few) / (MANY - FEW)


@asynccontextmanager
async def _silent(service: Served, variations: int) -> AsyncGenerator[None]:
    """Have so many run, whom nobody watches, for as long as the block lasts."""
    body = {"repo_url": service.repo_url, "prompt": "wait", "variations": variations, "agent": "command"}
    response = await service.client.post("/api/v1/runs", json={**body, "command": "exec sleep 600", "timeout_s": 900})
    if response.is_error:
        raise BenchError(f"the run was refused: {response.text}")
    accepted = msgspec.json.decode(response.content, type=Accepted)
    with limit(_START_S, f"the start of {variations} silent variations"):
        await _follow(service.client, accepted, started=variations)
    yield
    await service.client.delete(f"/api/v1/runs/{accepted.run_id}")
    with limit(_START_S, "the end of silent variations"):
        await _follow(service.client, accepted, started=None)


async def _follow(client: httpx2.AsyncClient, accepted: Accepted, *, started: int | None) -> None:
    """Read the stream until so many have started, or to the run's end."""
    async with client.sse(accepted.stream_url, timeout=_START_S, max_event_size=None) as frames:
        async for frame in frames:
            is_start = frame.event == FrameName.AGENT_OUTPUT and b'"kind":"started"' in frame.data.encode()
            if started is not None and is_start:
                started -= 1
                if started == 0:
                    return
    if started is not None:
        raise BenchError(f"run {accepted.run_id} has ended, though it had to wait")
