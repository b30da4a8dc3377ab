"""Small disks, each mounted for as long as a block lasts."""

import re
import subprocess
from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from shutil import which

import pytest

_CAP_SYS_ADMIN = 21


class NoDiskError(Exception):
    """This machine can have no such disk; the message says why."""


@contextmanager
def or_skip(disk: AbstractContextManager[Path]) -> Generator[Path]:
    """The same disk; where it cannot be had, the test is skipped."""
    with ExitStack() as mounted:
        try:
            place = mounted.enter_context(disk)
        except NoDiskError as error:
            pytest.skip(str(error))
        yield place


@contextmanager
def plain_disk(place: Path, size_mib: int, *, files: int | None = None) -> Generator[Path]:
    """A disk whose files cannot share blocks; with room for as many as `files` says, or for as many as fit.

    Raises:
        NoDiskError: we may not mount.

    """
    _check_right()
    room = "" if files is None else f",nr_inodes={files}"
    place.mkdir()
    with _mounted("-t", "tmpfs", "-o", f"size={size_mib}m,mode=755{room}", "none", at=place):
        yield place


@contextmanager
def sharing_disk(place: Path, size_mib: int) -> Generator[Path]:
    """A disk whose files can share blocks: XFS in a file beside `place`.

    Raises:
        NoDiskError: we may not mount, or there is no XFS.

    """
    _check_right()
    if which("mkfs.xfs") is None:
        raise NoDiskError("there is no mkfs.xfs")
    image = place.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(size_mib << 20)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(image)], check=True)
    place.mkdir()
    with ExitStack() as mounted:
        try:
            mounted.enter_context(_mounted("-o", "loop", str(image), at=place))
        except subprocess.CalledProcessError as error:
            raise NoDiskError(f"XFS cannot be mounted: {error.stderr.decode().strip()}") from error
        yield place


@contextmanager
def _mounted(*what: str, at: Path) -> Generator[None]:
    subprocess.run(["mount", *what, str(at)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)


def _check_right() -> None:
    # Not whether we are root: in many a container, root may not mount either.
    found = re.search(r"^CapEff:\s*(\w+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None or not int(found[1], 16) >> _CAP_SYS_ADMIN & 1:
        raise NoDiskError("only a root that may mount can have a disk of its own")
