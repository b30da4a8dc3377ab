"""Containers by a Dagger engine: one session per run, which takes all of its containers with it when it ends."""

import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import anyio
import dagger

from service.engine import Capabilities, Health, SandboxSpec
from service.engine.dagger.place import RUNNER_HOST
from service.engine.dagger.sandbox import DaggerSandbox
from service.engine.dagger.session import open_session
from service.errors import EngineError, EngineLostError

_HEALTH_S = 30.0
_FRESH_S = 10.0
_REMEDY = f"name one by {RUNNER_HOST}, install Docker, or set AIDEATOR_ENGINE=local"


class DaggerEngine:
    """`environ` is what the sessions' CLI gets; it says where the engine is."""

    capabilities = Capabilities(
        name="dagger",
        foreign_images=True,
        patch_after_cancel=False,
        refuses_git_redirects=False,
        leaves_out_submodules=False,
        setup_network=True,
        agent_network=True,
    )

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._last_ok = Health(ok=False, detail="")
        self._last_ok_at = -math.inf

    async def health(self) -> Health:
        """Ask for a version through a session; an answer counts for ten seconds, unless the engine's socket is gone."""
        if not await self._listens():
            return Health(ok=False, detail=f"no Dagger engine listens at {self._environ[RUNNER_HOST]}")
        if anyio.current_time() - self._last_ok_at > _FRESH_S:
            health = await self._ask()
            if not health.ok:
                return health
            self._last_ok, self._last_ok_at = health, anyio.current_time()
        return self._last_ok

    async def _listens(self) -> bool:
        """Whether anyone listens at a unix socket; True where the engine is reached in another way."""
        scheme, _, path = self._environ.get(RUNNER_HOST, "").partition("://")
        if scheme != "unix":
            return True
        try:
            async with await anyio.connect_unix(path):
                return True
        except OSError:
            return False

    async def _ask(self) -> Health:
        where = self._environ.get(RUNNER_HOST, "the place where the Dagger CLI looks for one")
        try:
            with anyio.fail_after(_HEALTH_S):
                async with open_session(self._environ) as session:
                    return Health(ok=True, detail=f"Dagger {await session.client.version()} at {where}")
        except TimeoutError:
            return Health(ok=False, detail=f"the Dagger engine at {where} has not answered for {_HEALTH_S:.0f} s")
        except (EngineLostError, dagger.DaggerError) as error:
            return Health(ok=False, detail=f"no Dagger engine answers at {where}: {error}; {_REMEDY}")

    @asynccontextmanager
    async def open(self, spec: SandboxSpec) -> AsyncGenerator[DaggerSandbox]:
        failure: EngineError | None = None
        async with open_session(self._environ) as session, anyio.create_task_group() as tasks:
            sandbox = DaggerSandbox(spec, session, tasks)
            tasks.start_soon(sandbox.read_log)
            try:
                yield sandbox
            except EngineError as error:  # the task group would wrap it
                failure = error
            finally:
                tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
