"""Everything that a deployment may choose: read once, by the command line, then passed on.

The names are environment variables, the same in `.env.example`. A `.env` in a service's working directory may set them,
too; a run from a terminal, which starts in folders of others, reads no file that it was not named.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

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
    aideator_engine: Literal["auto", "dagger", "local"] = "auto"
    """What agents run on: Dagger's containers, sandboxes of this machine, or `auto`: Dagger where one answers."""
    agent_container_image: str = "python:3.11-slim"
    """The image that agents work in on Dagger, where the request does not say."""
    local_home: str = ""
    """Where the local engine keeps repositories and workspaces; empty for a place beside the service's own Postgres."""
    local_tools: str = ""
    """Folders, separated by colons, that its agents see besides the system's, with their `bin` in `PATH`."""
    local_network: Literal["setup", "all", "none"] = "setup"
    """Who has the network there: the setup commands alone, agents as well, or nobody."""
    local_memory: Annotated[float, Meta(gt=0, le=100_000)] = 4.0
    """GiB of memory that a variation may take there."""
    local_processes: Annotated[int, Meta(ge=16, le=1_000_000)] = 1024
    """How many processes and threads a variation may have there."""
    local_cpus: Annotated[float, Meta(ge=0, le=10_000)] = 0.0
    """How many cores a variation may keep busy there; 0 for no limit. It needs cgroups."""
    local_disk: Annotated[float, Meta(gt=0, le=1_000_000)] = 10.0
    """GiB of disk that a variation may take there."""
    git_allow: str = "https://"
    """Which repositories may be cloned: URLs, separated by commas; one with a host lifts the rules on its address."""
    clone_timeout: Annotated[float, Meta(gt=0, le=86_400)] = 120.0
    """Seconds until a clone is given up."""
    setup_timeout: Annotated[float, Meta(gt=0, le=86_400)] = 900.0
    """Seconds until image and setup commands together are given up."""
    heartbeat: Annotated[float, Meta(gt=0, le=60)] = 10.0
    """Seconds between a stream's signs of life."""
    anthropic_base_url: str = ""
    """Where the provider `anthropic` is; empty for the public API."""
    openai_base_url: str = ""
    """Where the provider `openai` is, or what is compatible with it; empty for the public API."""
    gpt_oss_url: str = ""
    """Where the provider `gpt-oss` is: a server of your own, compatible with OpenAI's; empty for none."""
    providers_file: str = ""
    """More about providers, in TOML; `providers.toml` where that is there."""
    claude_code_model: str = "anthropic/claude-sonnet-5-5"
    """What an agent `claude-code` asks, where the request does not say."""
    codex_model: str = "openai/gpt-6.1-sol"
    """What an agent `codex` asks, where the request does not say."""
    prices_file: str = ""
    """Prices of models, in JSON, which go before the bundled ones."""
    budget_usd: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    """The most US dollars that a run's model calls may cost; 0 for no limit."""
    llm_max_wait: Annotated[float, Meta(gt=0, le=86_400)] = 300.0
    """Seconds; a provider that asks for a longer wait is taken to refuse."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ, *, folder: Path | None = Path()) -> Self:
        """Read the variables; those of `folder/.env`, if any, count where the environment does not set them.

        Raises:
            SettingsError: a value is not what its variable takes.

        """
        values = with_env_file(environ, folder)
        known = {field.encode_name for field in msgspec.structs.fields(cls)}
        try:
            settings = msgspec.convert({name: values[name] for name in known & values.keys()}, cls, strict=False)
        except msgspec.ValidationError as error:
            what, _, path = str(error).partition(" - at `$.")
            name = path.rstrip("`")
            raise SettingsError(f"{name}: {what}{_choices(cls, name)}") from error
        if "*" in settings.cors_allowed() and not settings.debug:
            raise SettingsError("CORS_ORIGINS: any origin at all is for development, where DEBUG is true")
        if strange := next((str(path) for path in settings.tools() if not path.is_absolute()), None):
            raise SettingsError(f"LOCAL_TOOLS: {strange} is no absolute path")
        if settings.local_home and not Path(settings.local_home).is_absolute():
            raise SettingsError(f"LOCAL_HOME: {settings.local_home} is no absolute path")
        return settings

    def cors_allowed(self) -> list[str]:
        """Return the origins of `cors_origins`."""
        return [origin for origin in self.cors_origins.replace(",", " ").split() if origin]

    def tools(self) -> tuple[Path, ...]:
        """Return the folders of `local_tools`."""
        return tuple(Path(folder) for folder in self.local_tools.split(":") if folder)


def _choices(settings: type[Settings], name: str) -> str:
    """What a variable takes, where that is one of a few words."""
    kinds = {field.encode_name: field.type for field in msgspec.structs.fields(settings)}
    words = [str(word) for word in get_args(kinds.get(name)) if isinstance(word, str)]
    return f"; it is one of {', '.join(words)}" if words else ""


def superseded(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables of earlier versions that are set and mean nothing now, each with its reason."""
    return {name: reason for name, reason in _SUPERSEDED.items() if name in environ}


def with_env_file(environ: Mapping[str, str], folder: Path | None = Path()) -> dict[str, str]:
    """`environ`, with those variables of `folder/.env` that it does not set; with no folder, as it is."""
    return {**(read_env_file(folder / ".env") if folder else {}), **environ}


def with_named_file(environ: Mapping[str, str], file: Path | None) -> dict[str, str]:
    """`environ`, with those variables of `file` that it does not set. Raises `SettingsError`: it cannot be read."""
    if file is None:
        return dict(environ)
    try:
        file.stat()
        return {**read_env_file(file), **environ}
    except OSError as error:
        raise SettingsError(f"--env-file: {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"--env-file: {file}: it is no UTF-8") from error


def read_env_file(path: Path) -> dict[str, str]:
    """Read lines `NAME=value`; blank lines and those that begin with `#` are skipped, a missing file is empty."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}
