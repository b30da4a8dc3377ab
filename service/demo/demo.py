"""The whole product at once, with no key and no question: service, repository, a run of three agents, patches."""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import httpx2
import msgspec
from msgspec import structs
from rich.console import Console

from service.app import create_app
from service.db.connect import connected
from service.demo.errors import DemoError
from service.demo.sample import PROMPT, TIMEOUT_S, make_sample
from service.engine.choose import choose_engine
from service.frames import FrameName
from service.git_server import git_server
from service.providers import read_providers
from service.run import Accepted, RunView, State
from service.serving import serving
from service.settings import Settings
from service.terminal.screen import Screen

_RESULTS = ".demo"
_EXPECTED = [State.SUCCEEDED, State.SUCCEEDED, State.TIMED_OUT]


async def run_demo(postgres: Callable[[], Awaitable[str]], *, keep: bool) -> None:
    """Run the demo and leave patches and log in `.demo`; with `keep`, go on serving until Ctrl-C.

    `postgres` gives the URL of a database of its own: a service that shared one would take runs of ours, and we of its.

    Raises:
        DemoError: no engine answers, or the run did not end as its scripts mean it to.

    """
    screen = Screen(Console(highlight=False))
    async with _service(screen, postgres) as (client, repo_url):
        run_id = await _start(client, repo_url)
        folder = anyio.Path(_RESULTS, run_id)
        await folder.mkdir(parents=True)
        run = await _watch(screen, client, run_id, folder)
        screen.table(run)
        await _keep_patches(client, run, folder)
        screen.say(f"patches and log: {folder}")
        if [each.state for each in run.variations] != _EXPECTED:
            raise DemoError(f"the variations should have ended as {', '.join(_EXPECTED)}; {run.detail}")
        if keep:
            screen.say(f"still serving at {client.base_url} (docs: {client.base_url}docs); Ctrl-C ends it")
            await anyio.sleep_forever()


@asynccontextmanager
async def _service(
    screen: Screen, postgres: Callable[[], Awaitable[str]]
) -> AsyncGenerator[tuple[httpx2.AsyncClient, str]]:
    """The service and a git server with the sample repository; yields a client of one and the URL of the other's."""
    settings = Settings.from_environ()
    chosen = await choose_engine(settings, os.environ)
    screen.say(f"  engine: {chosen.engine.capabilities.name}, because {chosen.reason}")
    with TemporaryDirectory() as folder, git_server(Path(folder)) as git_url:
        make_sample(Path(folder, "stats"))
        settings = structs.replace(settings, git_allow=f"https://,{git_url}/")
        providers = read_providers(settings)
        async with (
            connected(await postgres()) as database,
            serving(create_app(settings, database, chosen.engine, providers, reason=chosen.reason), port=0) as url,
            httpx2.AsyncClient(base_url=url, timeout=60) as client,
        ):
            health = (await client.get("/health")).json()
            for name, part in (("", "engine"), ("postgres", "postgres")):
                screen.say(f"{name:>8}{':' if name else ' '} {health[part]['detail']}")
                if not health[part]["ok"]:
                    raise DemoError(f"{health[part]['detail']}; `make engine` makes an engine where there is no Docker")
            screen.say(f" service: {url}\n    repo: {git_url}/stats, with a failing test\n  prompt: {PROMPT}\n")
            yield client, f"{git_url}/stats"


async def _start(client: httpx2.AsyncClient, repo_url: str) -> str:
    body = {"repo_url": repo_url, "prompt": PROMPT, "variations": 3, "timeout_s": TIMEOUT_S}
    response = await client.post("/api/v1/runs", json=body)
    if response.is_error:
        raise DemoError(response.text)
    return str(msgspec.json.decode(response.content, type=Accepted).run_id)


async def _watch(screen: Screen, client: httpx2.AsyncClient, run_id: str, folder: anyio.Path) -> RunView:
    """Show the run while it goes on, and keep its log, until its last event."""
    stream = client.sse(f"/api/v1/runs/{run_id}/stream", timeout=None)
    async with stream as frames, await (folder / "log.jsonl").open("w") as log:
        async for frame in frames:
            if frame.event == FrameName.HEARTBEAT:
                screen.wait()
                continue
            await log.write(f"{frame.data}\n")
            screen.show(frame.event, frame.data)
    return msgspec.json.decode((await client.get(f"/api/v1/runs/{run_id}")).content, type=RunView)


async def _keep_patches(client: httpx2.AsyncClient, run: RunView, folder: anyio.Path) -> None:
    for each in run.variations:
        if each.patch_url:
            patch = (await client.get(each.patch_url)).content
            await (folder / f"{each.variation_id}.patch").write_bytes(patch)
