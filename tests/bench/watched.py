"""A run over HTTP, watched to its end: when each of its events was seen, by both clocks."""

import time
from itertools import pairwise
from typing import Any
from uuid import UUID

import httpx2
import msgspec
from msgspec import Struct

from service.frames import FrameName, seq_of
from service.run import Accepted, RunView, State
from tests.bench.commands import command_line
from tests.bench.errors import BenchError
from tests.bench.limit import limit
from tests.bench.served import Served

_RUN_S = 300.0


class Seen(Struct, frozen=True):
    """A frame, and the monotonic and the wall clock at its receipt."""

    at: float
    wall: float
    id: str
    name: str
    variation_id: int | None
    event: dict[str, Any]


class Watched(Struct, frozen=True, kw_only=True):
    begun: float
    """When the request was sent."""
    accepted: float
    """When it was answered."""
    run: RunView
    frames: list[Seen]
    segments: int
    cpu_s: float | None

    @property
    def run_id(self) -> UUID:
        return self.run.run_id

    @property
    def seconds(self) -> float:
        """From the request until `run_complete` was seen."""
        return self.frames[-1].at - self.begun

    @property
    def agents_s(self) -> float:
        """What the agents took, side by side: the longest of them, by the harness's clock."""
        return max(each.seconds or 0.0 for each in self.run.variations)

    def of_kind(self, kind: str) -> list[Seen]:
        """The agents' events of this kind, in the order in which they were seen."""
        return [seen for seen in self.frames if seen.name == FrameName.AGENT_OUTPUT and seen.event["kind"] == kind]

    def phases(self) -> dict[str, float]:
        """What the run's time went to, one after the other, in seconds; together they are all of it."""
        running = [
            seen.at for seen in self.frames if seen.variation_id is None and seen.event.get("state") == "running"
        ]
        completed = [seen.at for seen in self.frames if seen.name == FrameName.AGENT_COMPLETE]
        moments = [self.begun, self.accepted, running[0], self.of_kind("started")[-1].at]
        moments += [self.of_kind("finished")[-1].at, completed[-1], self.frames[-1].at]
        names = ("request accepted", "workspace ready", "all agents started", "agents at work", "patches made", "ended")
        return dict(zip(names, (after - before for before, after in pairwise(moments)), strict=True))

    @property
    def is_complete(self) -> bool:
        """Whether no number is missing, neither the log's nor any harness's."""
        numbers = [seq_of(seen.id) for seen in self.frames]
        theirs: dict[int | None, list[int]] = {}
        for seen in self.frames:
            if seen.name == FrameName.AGENT_OUTPUT:
                theirs.setdefault(seen.variation_id, []).append(seen.event["n"])
        return all(each == list(range(1, len(each) + 1)) for each in [numbers, *theirs.values()])


async def watch_run(service: Served, command: list[str], *, variations: int) -> Watched:
    """Start a run whose agents are `command`, and watch it.

    Raises:
        BenchError: it is refused, or does not succeed.

    """
    body = {"repo_url": service.repo_url, "prompt": "bench", "variations": variations, "agent": "command"}
    cpu_before, begun = service.cpu_s(), time.monotonic()
    response = await service.client.post("/api/v1/runs", json={**body, "command": command_line(command)})
    accepted_at = time.monotonic()
    if response.is_error:
        raise BenchError(f"the run was refused: {response.text}")
    accepted = msgspec.json.decode(response.content, type=Accepted)
    with limit(_RUN_S, f"run {accepted.run_id}"):
        frames = await _watch(service.client, accepted.stream_url)
    run = msgspec.json.decode((await service.client.get(accepted.status_url)).content, type=RunView)
    if any(each.state is not State.SUCCEEDED for each in run.variations):
        raise BenchError(f"run {run.run_id} is {run.state}: {run.code} {run.detail}")
    cpu_after = service.cpu_s()
    return Watched(
        begun=begun,
        accepted=accepted_at,
        run=run,
        frames=frames,
        segments=await service.segments(run.run_id),
        cpu_s=None if cpu_before is None or cpu_after is None else cpu_after - cpu_before,
    )


async def _watch(client: httpx2.AsyncClient, stream_url: str) -> list[Seen]:
    """Read first and decode afterwards: the clock is the service's, not the viewer's."""
    async with client.sse(stream_url, timeout=120, max_event_size=None) as source:
        raw = [(time.monotonic(), time.time(), frame) async for frame in source]
    return [_seen(at, wall, frame) for at, wall, frame in raw if frame.event != FrameName.HEARTBEAT]


def _seen(at: float, wall: float, frame: httpx2.ServerSentEvent) -> Seen:
    decoded = msgspec.json.decode(frame.data)
    return Seen(at, wall, frame.id or "", frame.event, decoded["variation_id"], decoded["event"])
