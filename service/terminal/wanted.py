"""What `aideator run` is asked for."""

from pathlib import Path
from typing import Any

from msgspec import Struct


class Wanted(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    repo: str
    fields: dict[str, Any]
    """Of the request's body, the repository apart."""
    as_json: bool = False
    junit: Path | None = None
    output: Path | None = None
    env_file: Path | None = None
