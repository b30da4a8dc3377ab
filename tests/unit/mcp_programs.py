"""`mcp_server.py` as a program of its own, on pipes or on HTTP."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SERVER = [sys.executable, str(Path(__file__).with_name("mcp_server.py"))]
STDIO: dict[str, Any] = {"command": [*_SERVER, "stdio"]}


@contextmanager
def http_server(directory: Path) -> Generator[str]:
    """Start one on a free port; yields its URL."""
    with subprocess.Popen([*_SERVER, "http"], cwd=directory, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.kill()
