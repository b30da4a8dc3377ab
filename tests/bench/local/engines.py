"""Engines on this machine, one for each means by which it can make trees."""

from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from msgspec import Struct

from service.engine.local.engine import LocalEngine, LocalOptions
from service.engine.local.host import Host
from service.engine.local.probe import find_host
from tests.bench.errors import BenchError
from tests.disks import NoDiskError, sharing_disk

_XFS_MIB = 4096


class Local(Struct, frozen=True):
    """An engine, and where it keeps what it has."""

    engine: LocalEngine
    home: Path

    def checkouts(self) -> int:
        """How many there are, of all repositories."""
        return sum(path.is_dir() for path in self.home.glob("repositories/*/trees/*"))


class Engines(Struct, frozen=True, kw_only=True):
    host: Host
    usual: Local
    """As the service has it here."""
    by_means: dict[str, Local]
    lacking: dict[str, str]
    """Means that are not measured, and why not."""


@asynccontextmanager
async def engines(folder: Path) -> AsyncGenerator[Engines]:
    """Engines that keep what they have below `folder`.

    Raises:
        EngineUnavailableError: this machine can have none.

    """
    home, other = folder / "usual", folder / "other"
    host, plain = await find_host(home), await find_host(other, overlay=False)
    usual = await known(home)
    by_means = {host.means: usual}
    if plain.means not in by_means:
        by_means[plain.means] = await known(other, overlay=False)
    lacking: dict[str, str] = {}
    if "overlay" not in by_means:
        lacking["overlay"] = "only root can have it"
    if "copy" not in by_means:
        lacking["copy"] = "the file system shares blocks"
    with ExitStack() as stack:
        if "reflink" not in by_means:
            try:
                place = stack.enter_context(sharing_disk(folder / "xfs", _XFS_MIB))
                by_means["reflink"] = await known(place / "local", overlay=False)
            except NoDiskError as error:
                lacking["reflink"] = f"the file system does not share blocks, and {error}"
        yield Engines(host=host, usual=usual, by_means=by_means, lacking=lacking)


async def known(home: Path, *, overlay: bool = True) -> Local:
    """An engine that has looked at its machine, as a service lets it when it starts."""
    engine = LocalEngine(LocalOptions(home=home), overlay=overlay)
    health = await engine.health()
    if not health.ok:
        raise BenchError(health.detail)
    return Local(engine, home)
