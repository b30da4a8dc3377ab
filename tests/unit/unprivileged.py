"""Programs that run as a user who may nothing, for what root is always allowed."""

import os
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

import pytest
from msgspec import Struct

ROOT = Path(__file__).parents[2]
SHUT_IN = ("bwrap", "--unshare-user", "--unshare-pid", "--uid", "1000", "--gid", "1000", "--ro-bind", "/", "/")
"""In namespaces of their own, they may nothing that needs a right, whoever runs the tests."""


class User(Struct, frozen=True):
    folder: Path
    """All that it can write to."""

    def run(
        self, command: Sequence[str], variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program of ours in the folder to its end."""
        folder = str(self.folder)
        places = ("--proc", "/proc", "--dev", "/dev", "--bind", folder, folder, "--chdir", folder)
        return subprocess.run(
            [*SHUT_IN, *places, *command],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": folder, **(variables or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=50,
            check=False,
        )


@contextmanager
def unprivileged() -> Generator[User]:
    if which("bwrap") is None:
        pytest.skip("there is no bubblewrap")
    with TemporaryDirectory(prefix="aideator-test-") as folder:
        yield User(Path(folder))
