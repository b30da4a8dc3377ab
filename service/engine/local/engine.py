"""Runs on this machine, each agent in a sandbox of bubblewrap's: no daemon, no image."""

import hashlib
import math
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup
from msgspec import Struct

from service.engine import Capabilities, Health, SandboxSpec
from service.engine.local.confinement import Limits
from service.engine.local.failures import told_as_engine_errors
from service.engine.local.harness import LocalHarness
from service.engine.local.host import Host
from service.engine.local.leftovers import run_folder, sweep
from service.engine.local.probe import find_host
from service.engine.local.programs import Programs
from service.engine.local.repository import Repository
from service.engine.local.sandbox import LocalSandbox
from service.engine.local.workspace import LocalWorkspace, Turns
from service.errors import EngineError, EngineUnavailableError

_FRESH_S = 10.0

Network = Literal["setup", "all", "none"]
"""Who reaches the network: setup commands alone, agents too, or nobody. Models are reached in any case."""


class LocalOptions(Struct, frozen=True, kw_only=True):
    """What an operator may choose; each limit is one sandbox's."""

    home: Path
    """Where repositories and workspaces are kept; on a file system of this machine's own."""
    tools: tuple[Path, ...] = ()
    """Folders besides the system's that sandboxes may read."""
    network: Network = "setup"
    memory_bytes: int = 4 << 30
    processes: int = 1024
    cpus: float = 0
    """0: no limit."""
    disk_bytes: int = 10 << 30


class LocalEngine:
    """With `overlay` False, trees are copies even where they need not be."""

    def __init__(self, options: LocalOptions, *, overlay: bool = True) -> None:
        self._options = options
        self._overlay = overlay
        self._turns: Turns = Turns()
        self._programs = Programs(options.home / "agents", options.tools)
        self._limits = Limits(
            memory_bytes=options.memory_bytes,
            processes=options.processes,
            cpus=options.cpus,
            disk_bytes=options.disk_bytes,
        )
        self._host: Host | None = None
        self._why_not = ""
        self._looking = anyio.Lock()
        self._looked_at = -math.inf
        self.capabilities = Capabilities(
            name="local",
            foreign_images=False,
            patch_after_cancel=True,
            refuses_git_redirects=True,
            leaves_out_submodules=True,
            setup_network=options.network != "none",
            agent_network=options.network == "all",
        )

    async def health(self) -> Health:
        """Look at this machine again, unless it was found good within ten seconds."""
        try:
            host = await self._look()
        except EngineUnavailableError as error:
            return Health(ok=False, detail=str(error))
        limits = f"cgroups ({host.cgroups.version})" if host.cgroups else "resource limits alone"
        detail = f"bubblewrap {host.bwrap_version} on this machine; trees by {host.means}; bounded by {limits}"
        return Health(ok=True, detail=detail)

    @asynccontextmanager
    async def open(self, spec: SandboxSpec) -> AsyncGenerator[LocalSandbox]:
        """Sweep what killed runs left, then open a sandbox; leaving it removes the run's folder.

        Raises:
            EngineUnavailableError: this machine was not found good.
            EngineError: there is no folder for the run, for the disk is full, say.

        """
        host = self._host or await self._look()
        failure: EngineError | None = None
        repository = self._repository(host, spec)
        async with AsyncExitStack() as stack:
            with told_as_engine_errors():
                await to_thread.run_sync(sweep, self._options.home, host, self._options.disk_bytes)
                folder = await stack.enter_async_context(run_folder(self._options.home, str(spec.run_id)))
                await stack.enter_async_context(repository.held())
            tasks = await stack.enter_async_context(anyio.create_task_group())
            try:
                yield self._sandbox(spec, host, folder, repository, tasks)
            except EngineError as error:  # the task group would wrap it
                failure = error
            finally:
                tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def _repository(self, host: Host, spec: SandboxSpec) -> Repository:
        name = hashlib.sha256(str(spec.repo_url).encode()).hexdigest()[:32]
        return Repository(host, self._options.home / "repositories" / name, spec.repo_url, limits=self._limits)

    def _sandbox(
        self, spec: SandboxSpec, host: Host, folder: Path, repository: Repository, tasks: TaskGroup
    ) -> LocalSandbox:
        return LocalSandbox(
            spec,
            folder,
            host=host,
            programs=self._programs,
            workspace=LocalWorkspace(host, repository, spec, folder, self._turns),
            harness=LocalHarness(host, self._programs, self._limits, tasks),
            limits=self._limits,
            capabilities=self.capabilities,
        )

    async def _look(self) -> Host:
        """Whoever asks while somebody looks gets what that one finds."""
        asked = anyio.current_time()
        async with self._looking:
            if self._looked_at < asked and (self._host is None or asked - self._looked_at > _FRESH_S):
                await self._look_again()
                self._looked_at = anyio.current_time()
        if self._host is None:
            raise EngineUnavailableError(self._why_not)
        return self._host

    async def _look_again(self) -> None:
        try:
            self._programs.check()
            self._host = await find_host(self._options.home, overlay=self._overlay)
        except EngineUnavailableError as error:
            self._host, self._why_not = None, str(error)
