"""What this machine has for sandboxes."""

import os
from pathlib import Path
from typing import Literal

from msgspec import Struct

from service.engine.local.cgroup import Cgroups

Means = Literal["overlay", "reflink", "copy"]
"""How a variation gets its files: a layer over shared ones, copies that share their blocks, or plain copies."""


class Host(Struct, frozen=True, kw_only=True):
    """A machine that has been found good."""

    bwrap: str
    bwrap_version: str
    user: int | None
    """Whom a sandbox's processes run as, where that is not who we are."""
    means: Means
    cgroups: Cgroups | None
    """None where groups cannot be made: then resource limits have to do."""

    def give(self, path: Path) -> None:
        """Make `path` the sandbox's, whoever that is."""
        if self.user is not None:
            os.chown(path, self.user, self.user)

    def give_all(self, folder: Path) -> None:
        """Make all that is in `folder` the sandbox's; not `folder` itself."""
        for path in folder.rglob("*"):
            self.give(path)

    def make(self, path: Path) -> Path:
        """Make a folder that is the sandbox's; those above it are ours."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o755)
        self.give(path)
        return path
