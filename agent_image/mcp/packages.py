"""Where the package `mcp` is in a container: in a directory of its own, mounted where a run names servers."""

import sys
from pathlib import Path

_SITE = Path("/opt/aideator-mcp/site")


def find_packages() -> None:
    """Have `mcp` found there, after whatever is installed; where there is no such directory, it has to be installed."""
    if _SITE.is_dir() and str(_SITE) not in sys.path:
        sys.path.append(str(_SITE))
