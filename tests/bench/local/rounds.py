"""The measurements on the local engine, round by round, each beside what git, or a bare reader, takes."""

from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from msgspec import Struct, field

from tests.bench.commands import BURST, BURST_LINES, PACED, SLEEP
from tests.bench.local import silent
from tests.bench.local.engines import Engines
from tests.bench.local.large import Repositories, spec
from tests.bench.local.lines import Read, read_lines
from tests.bench.local.ready import MANY, Ready, cold, ready, shallow_clone, shared_clones, worktrees
from tests.bench.local.silent import memory_of_a_variation
from tests.bench.local.start import Start, start_demo
from tests.bench.rounds import FEW, Announce
from tests.bench.served import served
from tests.bench.watched import Watched, watch_run


class Measured(Struct):
    """Everything that the rounds brought."""

    warm: dict[str, list[Ready]] = field(default_factory=dict[str, list[Ready]])
    """By the means of making trees, the usual one first."""
    cold: list[Ready] = field(default_factory=list[Ready])
    worktrees: list[float] = field(default_factory=list[float])
    shared_clones: list[float] = field(default_factory=list[float])
    shallow_clones: list[float] = field(default_factory=list[float])
    lacking: dict[str, str] = field(default_factory=dict[str, str])
    lines: list[Read] = field(default_factory=list[Read])
    memory: list[float] = field(default_factory=list[float])
    few: list[Watched] = field(default_factory=list[Watched])
    many: list[Watched] = field(default_factory=list[Watched])
    paced: list[Watched] = field(default_factory=list[Watched])
    burst: list[Watched] = field(default_factory=list[Watched])
    starts: list[Start] = field(default_factory=list[Start])


class LocalRounds:
    """Measures on `engines`, with a service of its own in each round."""

    def __init__(self, engines: Engines, repositories: Repositories, environ: Mapping[str, str]) -> None:
        self._engines = engines
        self._repositories = repositories
        self._environ = {**environ, "AIDEATOR_ENGINE": "local"}
        self.measured = Measured(lacking=engines.lacking)

    async def warm_up(self, announce: Announce) -> None:
        """Have the large repository where a second run finds it."""
        for means, local in self._engines.by_means.items():
            with announce(f"warming up: trees by {means}"):
                await ready(local, self._repositories)

    async def measure(self, announce: Announce) -> None:
        """Add a round."""
        await self._measure_trees(announce)
        with announce("lines: by the engine, and by a bare reader"):
            asked = spec(self._repositories.small)
            self.measured.lines.append(
                await read_lines(self._engines.usual.engine, self._engines.host, asked, self._new_folder())
            )
        with announce("the start of the demo"):
            self.measured.starts.append(await start_demo(self._new_folder()))
        await self._measure_service(announce)

    async def _measure_trees(self, announce: Announce) -> None:
        measured, repositories = self.measured, self._repositories
        for means, local in self._engines.by_means.items():
            with announce(f"{MANY} trees by {means}"):
                measured.warm.setdefault(means, []).append(await ready(local, repositories))
        with announce(f"{MANY} trees: git"):
            measured.worktrees.append(await worktrees(repositories.bare, self._new_folder()))
            measured.shared_clones.append(await shared_clones(repositories.bare, self._new_folder()))
        with announce("cold: the engine"):
            measured.cold.append(await cold(repositories, self._new_folder()))
        with announce("cold: git"):
            measured.shallow_clones.append(await shallow_clone(repositories.large, self._new_folder()))

    async def _measure_service(self, announce: Announce) -> None:
        environ = {**self._environ, "LOCAL_HOME": str(self._new_folder())}
        with announce("starting a service"):
            async with served(environ, max_variations=silent.MANY) as service:
                await watch_run(service, SLEEP, variations=1)
                with announce(f"{silent.MANY} silent agents: the service's memory"):
                    self.measured.memory.append(await memory_of_a_variation(service))
                with announce(f"{FEW} agents: HTTP"):
                    self.measured.few.append(await watch_run(service, SLEEP, variations=FEW))
                with announce(f"{MANY} agents: HTTP"):
                    self.measured.many.append(await watch_run(service, SLEEP, variations=MANY))
                with announce("live lines: HTTP"):
                    self.measured.paced.append(await watch_run(service, PACED, variations=1))
                with announce(f"{BURST_LINES} lines at once: HTTP"):
                    self.measured.burst.append(await watch_run(service, BURST, variations=1))

    def _new_folder(self) -> Path:
        folder = self._repositories.folder / uuid4().hex
        folder.mkdir(mode=0o711)
        return folder
