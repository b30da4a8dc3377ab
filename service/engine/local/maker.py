"""Who made a thing that outlives its maker, in the thing's name: a process, beyond doubt."""

import os
import re
from contextlib import suppress
from pathlib import Path

_NAME = re.compile(r"(\d+)-(\d+)-(\d+)")
_STARTED = 19
"""Among what stands after a process's name."""


def maker() -> str:
    """This process, as the first part of a name: its namespace, its number there, and when it was started."""
    return f"{_namespace()}-{os.getpid()}-{_started(os.getpid())}"


def is_of_living(name: str) -> bool:
    """Whether who made it lives, as far as that can be told."""
    namespace, pid, started = _parts(name)
    return namespace == _namespace() and started != "" and _started(int(pid)) == started


def is_of_dead(name: str) -> bool:
    """Whether who made it is dead: not so where it is, or was, of a namespace that we do not see."""
    return _parts(name)[0] == _namespace() and not is_of_living(name)


def _parts(name: str) -> tuple[str, str, str]:
    found = _NAME.fullmatch(name.partition(".")[0])
    return (found[1], found[2], found[3]) if found else ("", "", "")


def _namespace() -> str:
    return str(os.stat("/proc/self/ns/pid").st_ino)  # noqa: PTH116


def _started(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[_STARTED]
    return ""
