"""The machine: what it must have before anything else, and what apt brings."""

import os
import platform
import re
import subprocess
from pathlib import Path

from tests.bare_engine.errors import BareEngineError
from tests.bare_engine.step import say, timed

GO_VERSION = (1, 26)
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")

PACKAGES = {
    "busybox-static": "the smallest image there is",
    "ca-certificates": "the bundle that images get, too",
    "containernetworking-plugins": "bridges and addresses for containers",
    "dnsmasq-base": "names of containers",
    "docker-registry": "plays the hub",
    "git": "what the engine clones with",
    "iproute2": "to remove the bridge of an engine that was killed",
    "iptables": "lets containers out",
    "mmdebstrap": "makes the images",
    "runc": "runs containers",
    "skopeo": "pushes the images",
}


def check_machine() -> None:
    """Raise if a bare engine cannot work here, with the one thing to do about it."""
    if os.geteuid() != 0:
        raise BareEngineError("A bare engine needs root: it makes network bridges and mounts file systems.")
    if not is_debian():
        raise BareEngineError("A bare engine needs Debian, whose packages it runs on and makes its images from.")
    found = go_version()
    if found < GO_VERSION:
        raise BareEngineError(f"A bare engine needs Go 1.26 or newer to compile it, and {spelt(found)} in PATH.")


def is_debian() -> bool:
    try:
        return platform.freedesktop_os_release().get("ID") == "debian"
    except OSError:  # no Linux at all, or one without a name
        return False


def go_version() -> tuple[int, int]:
    """Return Go's major and minor version; (0, 0) if there is none."""
    try:
        answer = subprocess.run(["go", "env", "GOVERSION"], cwd="/", capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return (0, 0)
    numbers = re.match(r"go(\d+)\.(\d+)", answer.stdout)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def spelt(version: tuple[int, int]) -> str:
    return f"finds {version[0]}.{version[1]}" if version > (0, 0) else "there is none"


def install_packages() -> None:
    """Install what is missing; where nothing is, apt is not even asked."""
    missing = missing_packages()
    if not missing:
        say("packages", "what apt brings is there: unchanged")
        return
    with timed("packages", f"installed {' '.join(missing)}"):
        # The lists of a machine may be there already; fetching them anew is only worth it when they fail.
        if apt_install(missing).returncode != 0:
            run_apt("update")
            answer = apt_install(missing)
            if answer.returncode != 0:
                raise BareEngineError(f"apt-get cannot install {' '.join(missing)}:\n{answer.stdout}")


def missing_packages() -> list[str]:
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *PACKAGES]
    answer = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    there = {line.removesuffix(" installed") for line in answer.splitlines() if line.endswith(" installed")}
    return sorted(PACKAGES.keys() - there)


def apt_install(packages: list[str]) -> subprocess.CompletedProcess[str]:
    return run_apt("install", "--yes", "--no-install-recommends", *packages)


def run_apt(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        ["apt-get", "--quiet", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
