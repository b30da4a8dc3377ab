"""One engine: its name, and everything that must differ from the engine beside it."""

from dataclasses import dataclass
from pathlib import Path

from tests.bare_engine.process import Process

VERSION = "v0.19.10"
"""Of engine, CLI, codegen and the Python SDK alike; an engine refuses modules made for a later one."""

REPOSITORY = Path(__file__).parents[2]
WORK = Path("/opt/dagger")
"""Where the engine looks for its helpers; compiled in, see `tools/distconsts`."""

RUN = Path("/run/aideator")
"""Process ids, sockets and runc's state: gone after a reboot, as they should be."""

HUB_PORT = 5117
"""Of the registry on 127.0.0.1. Not 5000, where others' registries are."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """An engine on this machine.

    `root` keeps its cache and images. `network_name` names its bridge (with a 0 appended), its leases and its rules:
    at most 14 characters, the kernel's limit for an interface. `network_cidr` must not meet another engine's.
    `work` has the binaries and images, `hub_port` is its registry's; engines share both unless told otherwise.
    """

    name: str
    root: Path
    network_name: str
    network_cidr: str
    work: Path = WORK
    hub_port: int = HUB_PORT
    logs: Path = REPOSITORY / ".engine"

    @property
    def run(self) -> Path:
        return RUN / self.name

    @property
    def socket(self) -> Path:
        """Where the host reaches it: `run/dagger` is bound over the engine's own /run/dagger."""
        return self.run / "dagger" / "engine.sock"

    @property
    def cli(self) -> Path:
        return self.work / "bin" / "dagger"

    @property
    def runc_root(self) -> Path:
        return self.run / "runc"

    @property
    def content(self) -> Path:
        """Where this engine's SDKs are."""
        return self.root / "content"

    @property
    def process(self) -> Process:
        return Process(identity=self.run / "engine.pid", log=self.logs / f"{self.name}.log")

    @property
    def registry(self) -> Process:
        return Process(identity=RUN / f"registry-{self.hub_port}.pid", log=self.logs / "registry.log")

    @property
    def stamps(self) -> Path:
        return self.work / "stamps"


MAIN = Instance(
    name="engine",
    root=Path("/var/lib/aideator-engine"),
    network_name="aideator",
    network_cidr="10.87.0.0/16",
)
"""The engine of `make engine`. Its root and network are not Dagger's defaults, which another engine may have."""
