"""Trees: a folder with `workspace` and `home`, made once, from which any number of others are derived at once.

Derived by the cheapest means that the machine has: a layer of an overlay, which costs nothing until something is
written; copies that share their blocks; or plain copies, whose git objects are shared all the same.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import anyio
from msgspec import Struct

from service.engine.local.confinement import Overlay
from service.engine.local.failures import program_failed
from service.engine.local.host import Host


class Tree(Struct, frozen=True):
    """As sandboxes are told of it: a folder, or the layers of one."""

    shown: Path | Overlay
    changes: Path
    """What grows with what is written to it."""


async def derive(host: Host, layers: Sequence[Path], folder: Path) -> Tree:
    """Make a tree of its own in `folder`, which is made, from layers that nobody writes to, topmost first.

    Where files are copied, the topmost alone is: it must be whole.

    Raises:
        EngineError: they cannot be copied; mostly because the disk is full.
        OSError: nor can `folder` be made.

    """
    await anyio.Path(folder).mkdir(parents=True)
    upper = folder / "upper"
    if host.means == "overlay":
        overlay = Overlay(lower=tuple(layers), upper=host.make(upper), work=host.make(folder / "work"))
        return Tree(overlay, upper)
    copy = [
        "cp",
        "--archive",
        f"--reflink={'always' if host.means == 'reflink' else 'never'}",
        str(layers[0]),
        str(upper),
    ]
    done = await anyio.run_process(copy, check=False, env={"PATH": os.environ["PATH"], "LC_ALL": "C"})
    if done.returncode:
        raise program_failed(done.stderr)
    return Tree(upper, upper)
