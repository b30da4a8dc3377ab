"""Everything that a deployment may choose: read once, by the command line, then passed on.

The names are environment variables, the same in `.env.example`, which a `.env` in the working directory may set too.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

import msgspec
from msgspec import Meta, Struct

_SUPERSEDED = {"REDIS_URL": "events are kept in Postgres"}


class SettingsError(Exception):
    """A variable has a value that cannot be; the message names it."""


class Settings(Struct, frozen=True, kw_only=True, rename=str.upper):
    """Attributes are the variables' names in lower case."""

    database_url: str = ""
    """`postgresql://…`; empty for a Postgres of our own, beside the service."""
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8000
    """Where HTTP is served, on 127.0.0.1 alone; 0 for any free port."""
    debug: bool = False
    """Log everything."""
    api_title: str = "AIdeator"
    """The title of the API's documentation."""
    cors_origins: str = ""
    """Web pages of these origins, separated by commas, may call the API from a browser; `*`, any, only with `DEBUG`."""
    max_variations: Annotated[int, Meta(ge=1, le=1000)] = 5
    """The most variations that a run may ask for."""
    max_runs: Annotated[int, Meta(ge=1, le=1000)] = 4
    """How many runs are at work at once; the others wait their turn."""
    agent_timeout: Annotated[float, Meta(gt=0, le=86_400)] = 300.0
    """Seconds until an agent is stopped, where the request does not say."""
    agent_container_image: str = "python:3.11-slim"
    """The image that agents work in, where the request does not say."""
    git_allow: str = "https://"
    """Which repositories may be cloned: URLs, separated by commas; one with a host lifts the rules on its address."""
    clone_timeout: Annotated[float, Meta(gt=0, le=86_400)] = 120.0
    """Seconds until a clone is given up."""
    setup_timeout: Annotated[float, Meta(gt=0, le=86_400)] = 900.0
    """Seconds until image and setup commands together are given up."""
    heartbeat: Annotated[float, Meta(gt=0, le=60)] = 10.0
    """Seconds between a stream's signs of life."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ, *, folder: Path = Path()) -> Self:
        """Read the variables; those of `folder/.env` count where the environment does not set them.

        Raises:
            SettingsError: a value is not what its variable takes.

        """
        values = {**read_env_file(folder / ".env"), **environ}
        known = {field.encode_name for field in msgspec.structs.fields(cls)}
        try:
            settings = msgspec.convert({name: values[name] for name in known & values.keys()}, cls, strict=False)
        except msgspec.ValidationError as error:
            what, _, name = str(error).partition(" - at `$.")
            raise SettingsError(f"{name.rstrip('`')}: {what}") from error
        if "*" in settings.cors_allowed() and not settings.debug:
            raise SettingsError("CORS_ORIGINS: any origin at all is for development, where DEBUG is true")
        return settings

    def cors_allowed(self) -> list[str]:
        """Return the origins of `cors_origins`."""
        return [origin for origin in self.cors_origins.replace(",", " ").split() if origin]


def superseded(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables of earlier versions that are set and mean nothing now, each with its reason."""
    return {name: reason for name, reason in _SUPERSEDED.items() if name in environ}


def read_env_file(path: Path) -> dict[str, str]:
    """Read lines `NAME=value`; blank lines and those that begin with `#` are skipped, a missing file is empty."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}
