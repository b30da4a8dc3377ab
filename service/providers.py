"""The providers of models: what they speak, where they are, and where their keys are kept.

Settings alone say so: a request names a model, and never a URL or a reference to a key, or a caller could have files
read, commands run and keys sent elsewhere. A key is read when a run needs it.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from agent_image.gateway.plan import Wire
from service import key
from service.errors import ModelError
from service.http_url import check_http_url
from service.key import KeyMissingError
from service.run import SCRIPTED
from service.settings import Settings, SettingsError, with_env_file

FILE = "providers.toml"
"""Read in the working directory of a service, if it is there and `PROVIDERS_FILE` names no other."""

_ANTHROPIC, _OPENAI, _GPT_OSS = "anthropic", "openai", "gpt-oss"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_MODEL = re.compile(r"(?!-)[!-~]{1,200}")
_FAMILIES = {
    _ANTHROPIC: re.compile(r"claude-"),
    _GPT_OSS: re.compile(r"gpt-oss"),
    _OPENAI: re.compile(r"gpt-|chatgpt-|codex-|o[134](-|$)"),
}
"""What the names of a provider's models begin with; the first of these that there is has the model."""


class Provider(Struct, frozen=True, kw_only=True):
    name: str
    wire: Wire
    base_url: str
    """What comes before `/v1/…`, without credentials."""
    key: str = ""
    """A reference, see `service/key.py`; empty for a provider that wants none."""


class Model(Struct, frozen=True, kw_only=True):
    provider: Provider
    name: str
    """What the provider calls it."""

    def __str__(self) -> str:
        return f"{self.provider.name}/{self.name}"


class Providers:
    """Those of this deployment, by name; `environ` has the variables of their keys."""

    def __init__(self, by_name: Mapping[str, Provider], environ: Mapping[str, str]) -> None:
        self.by_name = by_name
        self._environ = environ

    def find(self, model: str) -> Model:
        """Find the provider of `provider/name`, or of a name whose provider is clear.

        Raises:
            ModelError: `model.unknown`, and how to write one.

        """
        if not _MODEL.fullmatch(model):
            raise ModelError("model.unknown", f"{model[:100]!r} is no name of a model")
        first, slash, rest = model.partition("/")
        provider, name = (self.by_name.get(first), rest) if slash else (self._provider_of(model), model)
        if provider is None or name in {"", SCRIPTED}:
            known = ", ".join(self.by_name)
            unset = "; GPT_OSS_URL is not set" if first == _GPT_OSS and provider is None else ""
            why = f"no provider for {model[:100]!r}: write provider/name, one of {known}{unset}"
            raise ModelError("model.unknown", why)
        return Model(provider=provider, name=name)

    def resolve(self, model: str) -> Model:
        """Find a model that can be asked.

        Raises:
            ModelError: `model.unknown`, or `llm.no_key` and where it should be.

        """
        found = self.find(model)
        if why := self._missing(found.provider):
            raise ModelError("llm.no_key", f"{found} needs the key of {found.provider.name}: {why}")
        return found

    def has_key(self, provider: Provider) -> bool:
        """Whether its key is there, as far as that is known without running a command, or none is wanted."""
        return not self._missing(provider)

    async def read_key(self, provider: Provider) -> str:
        """Return the key; empty for a provider that wants none. Raises `ModelError` `llm.no_key`."""
        if not provider.key:
            return ""
        try:
            return await key.read_key(provider.key, self._environ)
        except KeyMissingError as error:
            raise ModelError("llm.no_key", f"no key for {provider.name}: {error}") from error

    def _missing(self, provider: Provider) -> str:
        return key.missing(provider.key, self._environ) if provider.key else ""

    def _provider_of(self, name: str) -> Provider | None:
        for provider, beginning in _FAMILIES.items():
            if provider in self.by_name and beginning.match(name):
                return self.by_name[provider]
        others = [provider for provider in self.by_name.values() if provider.name not in {_ANTHROPIC, _OPENAI}]
        return others[0] if len(others) == 1 else None


def read_providers(
    settings: Settings, environ: Mapping[str, str] = os.environ, *, folder: Path | None = Path()
) -> Providers:
    """Take the providers that everybody knows, and those of the operator's file.

    What is not named is looked for in `folder`, the working directory; with None, nowhere.

    Raises:
        SettingsError: a URL, the file or a default model cannot be; the message names it.

    """
    environ = with_env_file(environ, folder)
    by_name = {each.name: each for each in _well_known(settings, environ)}
    path = (folder or Path()) / (settings.providers_file or FILE)
    if settings.providers_file or (folder and path.exists()):
        for name, table in _read(path).items():
            by_name[name] = _merged(path, name, table, by_name.get(name))
    found = Providers(by_name, environ)
    _check_model("CLAUDE_CODE_MODEL", settings.claude_code_model, found)
    _check_model("CODEX_MODEL", settings.codex_model, found)
    return found


class _Table(Struct, forbid_unknown_fields=True):
    """One provider in the file; what is left out of one that everybody knows stays as it is."""

    wire: Wire | UnsetType = UNSET
    base_url: str | UnsetType = UNSET
    key: str | UnsetType = UNSET


def _well_known(settings: Settings, environ: Mapping[str, str]) -> list[Provider]:
    found = [
        Provider(
            name=_ANTHROPIC,
            wire="messages",
            base_url=_url("ANTHROPIC_BASE_URL", settings.anthropic_base_url or "https://api.anthropic.com"),
            key="env://ANTHROPIC_API_KEY",
        ),
        Provider(
            name=_OPENAI,
            # Few of those who are compatible with OpenAI speak its newer wire format.
            wire="chat" if settings.openai_base_url else "responses",
            base_url=_url("OPENAI_BASE_URL", settings.openai_base_url or "https://api.openai.com"),
            key=_openai_key(settings, environ),
        ),
    ]
    if settings.gpt_oss_url:
        url = _url("GPT_OSS_URL", settings.gpt_oss_url)
        reference = "env://LLM_API_KEY" if environ.get("LLM_API_KEY") else ""
        found.append(Provider(name=_GPT_OSS, wire="chat", base_url=url, key=reference))
    return found


def _openai_key(settings: Settings, environ: Mapping[str, str]) -> str:
    generic = environ.get("LLM_API_KEY") and not environ.get("OPENAI_API_KEY") and not settings.gpt_oss_url
    return "env://LLM_API_KEY" if generic else "env://OPENAI_API_KEY"


def _read(path: Path) -> dict[str, _Table]:
    try:
        tables = msgspec.toml.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise SettingsError(f"PROVIDERS_FILE: {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error
    return {name: _table(f"{path}: [{name}]", table) for name, table in tables.items()}


def _table(where: str, table: Any) -> _Table:
    try:
        return msgspec.convert(table, _Table)
    except msgspec.ValidationError as error:
        wires = ", ".join(get_args(Wire))
        raise SettingsError(f"{where}: {error}; a table has wire (one of {wires}), base_url and key") from error


def _merged(path: Path, name: str, table: _Table, known: Provider | None) -> Provider:
    where = f"{path}: [{name}]"
    given = {field: value for field, value in structs.asdict(table).items() if value is not UNSET}
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{where}: a name is of a-z, 0-9, - and _, at most 40 of them")
    if known is None and (lacking := {"wire", "base_url"} - given.keys()):
        raise SettingsError(f"{where}: it lacks {' and '.join(sorted(lacking))}")
    if "base_url" in given:
        given["base_url"] = _url(f"{where} base_url", given["base_url"])
    if given.get("key"):
        try:
            key.check_reference(given["key"])
        except ValueError as error:
            raise SettingsError(f"{where} key: {error}") from error
    return structs.replace(known, **given) if known else Provider(name=name, **given)


def _check_model(variable: str, model: str, found: Providers) -> None:
    try:
        found.find(model)
    except ModelError as error:
        raise SettingsError(f"{variable}: {error}") from error


def _url(where: str, text: str) -> str:
    """Return the URL as the gateway takes it: without the `/v1` that those of OpenAI's kind end in."""
    try:
        check_http_url(text)
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from error
    if "?" in text or "#" in text:
        raise SettingsError(f"{where}: no query and no fragment can be in it")
    return text.rstrip("/").removesuffix("/v1")
