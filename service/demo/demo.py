"""The whole product at once, with no key and no question: service, repository, a run of three agents, patches."""

import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import httpx2
import msgspec
from msgspec import structs
from rich.console import Console

from service.app import create_app
from service.command import interruptible
from service.db.connect import connected
from service.db.embedded import embedded_postgres
from service.demo.git_server import git_server
from service.demo.sample import PROMPT, TIMEOUT_S, make_sample
from service.demo.screen import Screen
from service.engine.dagger import DaggerEngine
from service.engine.dagger_session import client_environ
from service.frames import FrameName
from service.providers import read_providers
from service.run import Accepted, RunView, State
from service.serving import serving
from service.settings import Settings

_RESULTS = ".demo"
_EXPECTED = [State.SUCCEEDED, State.SUCCEEDED, State.TIMED_OUT]


class DemoError(Exception):
    """The demo did not come out as its scripts mean it to; the message says how."""


async def run_demo(keep: bool) -> None:  # noqa: FBT001 -- `anyio.run` passes by position
    """Run the demo and leave patches and log in `.demo`; with `keep`, go on serving until Ctrl-C.

    Raises:
        DemoError: no engine answers, or the run did not end as its scripts mean it to.

    """
    await interruptible(partial(_demo, Screen(Console(highlight=False)), keep=keep))


async def _demo(screen: Screen, *, keep: bool) -> None:
    async with _service(screen) as (client, repo_url):
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
async def _service(screen: Screen) -> AsyncGenerator[tuple[httpx2.AsyncClient, str]]:
    """The service and a git server with the sample repository; yields a client of one and the URL of the other's."""
    engine = DaggerEngine(client_environ(os.environ, Path.cwd()))
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, git_server(Path(name, "git")) as git_url:
        make_sample(Path(name, "git", "stats"))
        settings = structs.replace(Settings.from_environ(), git_allow=f"https://,{git_url}/")
        providers = read_providers(settings)
        async with (
            # One of its own: a service that shares its database would take runs of ours, and we of its.
            embedded_postgres(_home(Path(name))) as database_url,
            connected(database_url) as database,
            serving(create_app(settings, database, engine, providers), port=0) as url,
            httpx2.AsyncClient(base_url=url, timeout=60) as client,
        ):
            health = (await client.get("/health")).json()
            for part in ("engine", "postgres"):
                screen.say(f"{part:>8}: {health[part]['detail']}")
                if not health[part]["ok"]:
                    raise DemoError(f"{health[part]['detail']}; `make engine` makes an engine where there is no Docker")
            screen.say(f" service: {url}\n    repo: {git_url}/stats, with a failing test\n  prompt: {PROMPT}\n")
            yield client, f"{git_url}/stats"


def _home(folder: Path) -> Path:
    """A place for Postgres, which does not run as root and has to come through."""
    folder.chmod(0o711)
    return folder / "postgres"


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
