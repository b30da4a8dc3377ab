"""The local engine's cache of repositories, without the engine: for tests, and as a program that can be killed.

python -m tests.service.local_cache HOME URL prints the commit that HEAD is.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import anyio
from msgspec import structs

from service.address import Resolve, resolve_host
from service.engine.local.confine import Done, run_confined
from service.engine.local.confinement import WORKSPACE, Bind, Confinement
from service.engine.local.host import Host
from service.engine.local.probe import find_host
from service.engine.local.repository import LIMITS, OBJECTS, Repository
from service.repo_url import RepoUrl, parse_allow, parse_repo_url

LIMIT_S = 60.0


class Cache:
    def __init__(self, host: Host, home: Path) -> None:
        self.host = host
        self.home = home

    def repository(
        self,
        url: str | RepoUrl,
        *,
        resolve: Resolve = resolve_host,
        environ: Mapping[str, str] | None = None,
        quiet_s: int = 20,
        disk_bytes: int = 1 << 30,
        memory_bytes: int = 2 << 30,
    ) -> Repository:
        """Always another object, and the same folder."""
        if isinstance(url, str):
            url = parse_repo_url(url, parse_allow(url))
        limits = structs.replace(LIMITS, disk_bytes=disk_bytes, memory_bytes=memory_bytes)
        folder = self.home / "repositories" / "one"
        return Repository(
            self.host, folder, url, limits=limits, resolve=resolve, environ=environ or {}, quiet_s=quiet_s
        )

    async def check_out(self, repository: Repository, commit: str) -> Path:
        folder = self.host.make(self.home / f"tree-{uuid4().hex}")
        await repository.check_out(commit, folder, limit_s=LIMIT_S)
        return folder

    async def tree(self, url: str, ref: str = "") -> Path:
        """A checkout of what `ref` is."""
        repository = self.repository(url)
        return await self.check_out(repository, await repository.fetch(ref, limit_s=LIMIT_S))

    async def run(self, tree: Path, script: str) -> Done:
        """Run a script in a checkout, as agents do."""
        objects = Bind(self.repository("git://127.0.0.1/x").git / "objects", OBJECTS)
        binds = (Bind(tree, WORKSPACE, writable=True), objects)
        return await run_confined(
            self.host, ["sh", "-ec", script], Confinement(binds=binds, workdir=WORKSPACE), limit_s=LIMIT_S
        )

    def left(self) -> list[str]:
        """What fetches and checkouts have left that were not to leave anything."""
        return sorted(
            str(path) for pattern in ("**/fetching-*", "**/*.new", "**/*.lock.*") for path in self.home.glob(pattern)
        )


async def make_cache(home: Path) -> Cache:
    return Cache(await find_host(home), home)


async def _main(home: str, url: str) -> None:
    cache = await make_cache(Path(home))
    print(await cache.repository(url).fetch("", limit_s=LIMIT_S), flush=True)  # noqa: T201 -- its answer


if __name__ == "__main__":
    anyio.run(_main, sys.argv[1], sys.argv[2])
