"""What it was measured on, without which a figure says nothing."""

import os
import platform
import subprocess
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Self

from msgspec import Struct

ROOT = Path(__file__).parents[2]
_BUSY = 0.5


class Machine(Struct, frozen=True, kw_only=True):
    date: str
    cores: int
    memory_gb: float
    processor: str
    system: str
    load: float
    """Processes that wanted a core, on average over the minute before."""
    stolen: float
    """Part of the time, from 0 to 1, in which a core was another machine's, where this one is virtual."""
    versions: dict[str, str]

    def lines(self) -> list[str]:
        """The same for people."""
        versions = ", ".join(f"{name} {each}" for name, each in self.versions.items())
        return [
            f"{self.date}, {self.cores} cores ({self.processor}), {self.memory_gb:.0f} GB, {self.system}",
            versions,
            f"load before it began: {self.load:.1f}"
            + (", so others were at work too" if self.load > _BUSY else "")
            + f"; stolen by other machines: {self.stolen:.1%}",
        ]


class Moment(Struct, frozen=True):
    """What there was before the first measurement."""

    load: float
    stolen_ticks: int
    ticks: int

    @classmethod
    def now(cls) -> Self:
        try:
            counted = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        except FileNotFoundError:
            counted = [0] * 8
        return cls(os.getloadavg()[0], counted[7], sum(counted[:8]))


def this_machine(before: Moment, **versions: str) -> Machine:
    after = Moment.now()
    packages = {name: version(name) for name in ("aideator", "dagger-io")}
    return Machine(
        date=datetime.now().astimezone().isoformat(" ", "minutes"),
        cores=os.cpu_count() or 1,
        memory_gb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        processor=_processor(),
        system=f"{platform.system()} {platform.release()}",
        load=before.load,
        stolen=(after.stolen_ticks - before.stolen_ticks) / max(1, after.ticks - before.ticks),
        versions={"commit": _commit(), **packages, "Python": platform.python_version(), **versions},
    )


def _processor() -> str:
    try:
        rows = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    except FileNotFoundError:
        return platform.machine()
    return next((value.strip() for name, _, value in rows if name.strip() == "model name"), platform.machine())


def _commit() -> str:
    try:
        command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+changes", "--exclude=*"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
