"""Which engine runs the agents: what the settings say; for `auto`, Dagger where one answers, else this machine."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from service.db.embedded import default_home
from service.engine import Engine
from service.engine.dagger.place import CHECKOUT, client_environ, look_for_dagger
from service.engine.local.engine import LocalEngine, LocalOptions
from service.errors import EngineUnavailableError
from service.settings import Settings

_GIB = 1 << 30


class Chosen(Struct, frozen=True):
    engine: Engine
    reason: str
    """Why this one, for people: a sentence without its full stop."""


async def choose_engine(settings: Settings, environ: Mapping[str, str], folder: Path = CHECKOUT) -> Chosen:
    """Choose by `AIDEATOR_ENGINE`; `folder` is where `make engine` notes its engine.

    Dagger that was asked for need not be there yet: the service may start before its engine.

    Raises:
        EngineUnavailableError: neither can work, or `local` cannot; the message says what to install.

    """
    asked = settings.aideator_engine
    environ = client_environ(environ, folder)
    if asked == "dagger":
        return Chosen(_dagger(environ), "AIDEATOR_ENGINE is dagger")
    if asked == "local":
        return Chosen(await _local(settings), "AIDEATOR_ENGINE is local")
    found = await look_for_dagger(environ)
    if found.ok:
        return Chosen(_dagger(environ), found.detail)
    try:
        return Chosen(await _local(settings), found.detail)
    except EngineUnavailableError as error:
        raise EngineUnavailableError(f"no engine: {found.detail}, and without one {error}") from error


def local_home(settings: Settings) -> Path:
    """Where the local engine keeps its things."""
    return Path(settings.local_home) if settings.local_home else default_home() / "local"


def _dagger(environ: Mapping[str, str]) -> Engine:
    from service.engine.dagger.engine import DaggerEngine  # noqa: PLC0415 -- its packages load for two seconds

    return DaggerEngine(environ)


async def _local(settings: Settings) -> LocalEngine:
    options = LocalOptions(
        home=local_home(settings),
        tools=settings.tools(),
        network=settings.local_network,
        memory_bytes=int(settings.local_memory * _GIB),
        processes=settings.local_processes,
        cpus=settings.local_cpus,
        disk_bytes=int(settings.local_disk * _GIB),
    )
    engine = LocalEngine(options)
    health = await engine.health()
    if not health.ok:
        raise EngineUnavailableError(health.detail)
    return engine
