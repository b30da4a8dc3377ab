"""The service over HTTP: served for a test, and what tests ask of it."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import anyio
import httpx2
from msgspec import Struct

from service.app import create_app
from service.db.connect import connected
from service.engine import Engine
from service.providers import read_providers
from service.run import ENDED
from service.serving import serving
from service.settings import Settings
from tests.own_task import in_own_task
from tests.processes import processes_of

RUNS = "/api/v1/runs"
LIMIT_S = 30.0
NOWHERE = Path(__file__).parent
"""A working directory without `.env` and `providers.toml`."""

_LIMITS = httpx2.Limits(max_connections=None)


class Frame(Struct, frozen=True):
    """A frame as it came; `id` is empty for a heartbeat."""

    raw: bytes
    id: str
    name: str
    data: dict[str, Any]

    @property
    def event(self) -> dict[str, Any]:
        return self.data["event"]


def parse(stream: bytes) -> list[Frame]:
    """Read whole frames; strict about the lines that make one up."""
    assert not stream or stream.endswith(b"\n\n"), "a frame is cut off"
    return [_frame(raw + b"\n\n") for raw in stream.split(b"\n\n")[:-1]]


def _frame(raw: bytes) -> Frame:
    fields = [line.split(b": ", 1) for line in raw.decode().encode().removesuffix(b"\n\n").split(b"\n")]
    names = [name for name, _ in fields]
    assert names in ([b"id", b"event", b"data"], [b"event", b"data"]), raw
    values = {name.decode(): value.decode() for name, value in fields}
    return Frame(raw, values.get("id", ""), values["event"], json.loads(values["data"]))


def whole(received: bytes) -> bytes:
    """The frames of a stream that have come in full."""
    return received[: received.rfind(b"\n\n") + 2] if b"\n\n" in received else b""


def log_of(stream: bytes) -> bytes:
    """The frames of the log in a stream: all but its signs of life."""
    return b"".join(frame.raw for frame in parse(stream) if frame.id)


@asynccontextmanager
async def service(
    settings: Settings, database_url: str, engine: Engine, environ: Mapping[str, str] = MappingProxyType({})
) -> AsyncGenerator[httpx2.AsyncClient]:
    """Serve on a real port, and yield a client of it; `environ` has the providers' keys."""
    providers = read_providers(settings, environ, folder=NOWHERE)
    async with (
        in_own_task(connected(database_url)) as database,
        in_own_task(serving(create_app(settings, database, engine, providers), port=0)) as url,
        httpx2.AsyncClient(base_url=url, timeout=LIMIT_S, limits=_LIMITS) as client,
    ):
        yield client


async def post_run(client: httpx2.AsyncClient, repo_url: str, command: str = "", **fields: Any) -> httpx2.Response:
    body = {"repo_url": repo_url, "prompt": "do it", "variations": 1, **fields}
    if command:
        body |= {"agent": "command", "command": command}
    return await client.post(RUNS, json=body)


async def start_run(client: httpx2.AsyncClient, repo_url: str, command: str = "", **fields: Any) -> str:
    """Start a run of one variation unless told otherwise; returns the run's URL."""
    response = await post_run(client, repo_url, command, **fields)
    assert response.status_code == 202, response.text
    return response.json()["status_url"]


async def view(client: httpx2.AsyncClient, run: str) -> dict[str, Any]:
    response = await client.get(run)
    assert response.status_code == 200, response.text
    return response.json()


async def until(client: httpx2.AsyncClient, run: str, *states: str, limit_s: float = LIMIT_S) -> dict[str, Any]:
    """The run once it is in one of these states; by default, once it has ended."""
    wanted = set(states or ENDED)
    with anyio.fail_after(limit_s):
        while (found := await view(client, run))["state"] not in wanted:
            assert found["state"] not in ENDED, found
            await anyio.sleep(0.02)
    return found


async def until_variation(client: httpx2.AsyncClient, run: str, index: int, state: str) -> None:
    with anyio.fail_after(LIMIT_S):
        while (await view(client, run))["variations"][index]["state"] != state:  # noqa: ASYNC110
            await anyio.sleep(0.02)


async def until_printed(client: httpx2.AsyncClient, run: str, *lines: str, times: int = 1) -> bytes:
    """Wait until agents, or setup, have printed each of these lines so many times; returns the stream so far."""
    received = b""
    with anyio.fail_after(LIMIT_S):
        async with client.stream("GET", f"{run}/stream", timeout=None) as response:
            async for chunk in response.aiter_raw():
                received += chunk
                printed = [frame.data["content"] for frame in parse(log_of(whole(received)))]
                if all(printed.count(f"{line}\n") >= times for line in lines):
                    return received
    raise AssertionError(f"the run ended without {lines}")


async def until_gone(run: str) -> None:
    """Wait until no process of a run is left."""
    with anyio.fail_after(LIMIT_S):
        while processes_of(run):  # noqa: ASYNC110 -- processes that are not ours have no event
            await anyio.sleep(0.02)


async def stream(client: httpx2.AsyncClient, run: str, *, after: str = "", path: str = "/stream") -> bytes:
    """The bytes of a run's stream, to its end."""
    headers = {"Last-Event-ID": after} if after else {}
    with anyio.fail_after(LIMIT_S):
        response = await client.get(f"{run}{path}", headers=headers, timeout=None)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return response.content


async def frames(client: httpx2.AsyncClient, run: str) -> list[Frame]:
    """The log of a run, once it is whole."""
    return parse(log_of(await stream(client, run)))


def of_variation(log: Sequence[Frame], index: int) -> list[dict[str, Any]]:
    """The events that one variation's harness printed."""
    return [each.event for each in log if each.name == "agent_output" and each.data["variation_id"] == index]


def check_log(log: Sequence[Frame]) -> None:
    """What holds for every log that is whole, whatever happened to its run."""
    ids = [tuple(int(part) for part in frame.id.split("-")) for frame in log]
    assert [seq for _, seq in ids] == list(range(1, len(log) + 1)), "numbers are dense from 1"
    assert [fence for fence, _ in ids] == sorted(fence for fence, _ in ids), "fences never fall"
    assert [frame.name for frame in log].count("run_complete") == 1
    assert log[-1].name == "run_complete"
    ends = [frame.data["variation_id"] for frame in log if frame.name == "agent_complete"]
    assert len(ends) == len(set(ends)), "a variation ends once"
    for index in {frame.data["variation_id"] for frame in log if frame.name == "agent_output"}:
        numbers = [event["n"] for event in of_variation(log, index) if event["n"]]
        assert len(numbers) == len(set(numbers)), "no event comes twice"
