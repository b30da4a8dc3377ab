"""Engine, CLI and helpers, compiled from their published Go modules."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.bare_engine.errors import BareEngineError
from tests.bare_engine.instance import VERSION
from tests.bare_engine.step import Step

TOOLS = Path(__file__).parent / "tools"
"""A Go module whose tools these are: versions and checksums are fixed in its go.mod and go.sum."""

MODULE = "github.com/dagger/dagger"

# What go build calls it, and where it goes.
PLACES = {
    "engine": "bin/dagger-engine",
    "dagger": "bin/dagger",
    "init": "bin/dagger-init",
    "codegen": "bin/codegen",
    "dnsname": "cni/dnsname",
}
CNI_PLUGINS = ("bridge", "loopback", "firewall", "host-local")
"""Debian's; `dnsname`, which makes names of containers known, is Dagger's own."""

# The engine's own call of dnsmasq takes port 53 of the whole machine, so a second engine could not have names. The
# option, given by a script that the engine finds first, leaves each dnsmasq its own bridge.
DNSMASQ = """\
#!/bin/sh
exec /usr/sbin/dnsmasq --bind-dynamic "$@"
"""

# An engine that does not know its version refuses every module.
VERSIONED = f"-X {MODULE}/engine.Version={VERSION} -X {MODULE}/engine.Tag={VERSION}"
FLAGS = ("-mod=readonly", "-trimpath", "-tags=dfexcludepatterns,dfparents", f"-ldflags=-s -w {VERSIONED}")


def compile_binaries(work: Path, stamps: Path) -> None:
    """Put engine, CLI and helpers under `work`."""
    Step(
        name="binaries",
        does="compile engine, CLI and helpers",
        takes="some 4 minutes the first time",
        inputs=(TOOLS, *FLAGS, DNSMASQ, Path(__file__), go("env", "GOVERSION")),
        results=tuple(work / place for place in PLACES.values()),
    ).run(lambda: build(work), stamps=stamps)


def build(work: Path) -> None:
    fresh = work / "build"
    fresh.mkdir(parents=True, exist_ok=True)
    go("build", *FLAGS, "-o", f"{fresh}/", *(f"{MODULE}/cmd/{name}" for name in PLACES))
    for name, place in PLACES.items():
        (work / place).parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place: the old file may be running.
        (fresh / name).replace(work / place)
    dnsmasq = work / "bin" / "dnsmasq"
    dnsmasq.write_text(DNSMASQ)
    dnsmasq.chmod(0o755)
    link(work / "bin" / "runc", to=shutil.which("runc") or "/usr/sbin/runc")
    for plugin in CNI_PLUGINS:
        link(work / "cni" / plugin, to=f"/usr/lib/cni/{plugin}")


def go(*arguments: str) -> str:
    """Run go in the tools' module and return what it printed; it fetches no toolchain and no workspace."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    answer = subprocess.run(["go", *arguments], cwd=TOOLS, env=environment, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise BareEngineError(f"go {arguments[0]} failed in {TOOLS}:\n{answer.stderr[-4000:]}")
    return answer.stdout.strip()


def link(path: Path, *, to: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(to)
