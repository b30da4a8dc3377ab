"""A service as a process of its own, for tests to kill; arguments: database URL, GIT_ALLOW, home of the engine."""

import sys
from pathlib import Path

import anyio
from msgspec import structs

from service.app import create_app
from service.db.connect import connected
from service.engine.local.engine import LocalEngine, LocalOptions
from service.providers import read_providers
from service.serving import serving
from service.settings import Settings
from tests.service.api import NOWHERE


async def main(database_url: str, git_allow: str, folder: str) -> None:
    settings = structs.replace(Settings(), git_allow=git_allow)
    engine = LocalEngine(LocalOptions(home=Path(folder)))
    providers = read_providers(settings, {}, folder=NOWHERE)
    async with (
        connected(database_url) as database,
        serving(create_app(settings, database, engine, providers), port=0) as url,
    ):
        print(url, flush=True)  # noqa: T201 -- for whoever started this
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
