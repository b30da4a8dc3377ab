"""What is asked for, checked: whatever is refused is refused here, before a Postgres or anything else is begun."""

import os
import re
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec
from msgspec import Struct, structs

from service.engine import ANYTHING
from service.engine.choose import Chosen, choose_engine, local_home
from service.errors import EngineUnavailableError, InvalidError, from_decoding
from service.providers import read_providers
from service.request import RunRequest
from service.rules import Rules, read_rules
from service.run import RunSpec
from service.settings import Settings, with_named_file
from service.terminal import junit
from service.terminal.keep import check_folder
from service.terminal.repository import Repository, repository
from service.terminal.wanted import Wanted
from service.validate import to_spec

_OPTIONS = {"variations": "--variations/-n", "timeout_s": "--timeout", "budget": "--budget-usd"}
"""Of those fields of the API whose options have other names."""


class Order(Struct, frozen=True, kw_only=True):
    """A run that can be begun."""

    wanted: Wanted
    repository: Repository
    chosen: Chosen
    rules: Rules
    spec: RunSpec


@asynccontextmanager
async def ordered(wanted: Wanted) -> AsyncGenerator[Order]:
    """Check what is wanted; a repository in a folder is served for as long as the block lasts.

    Raises:
        InvalidError: what is asked for cannot be; it names the option.
        SettingsError: a setting cannot be.
        EngineUnavailableError: there is no engine.

    """
    # The working directory may be a repository of strangers: none of its files is believed.
    environ = with_named_file(os.environ, wanted.env_file)
    settings = Settings.from_environ(environ, folder=None)
    if wanted.junit:
        junit.check_path(wanted.junit, made=wanted.output)
    if wanted.output:
        check_folder(wanted.output)
    with repository(wanted.repo, local_home(settings)) as found:
        rules = read_rules(settings, read_providers(settings, environ, folder=None), ANYTHING)
        rules = structs.replace(rules, allow=(*rules.allow, found.allow))
        with _naming_options():
            request = _request(found, wanted.fields)
            await to_spec(request, rules)  # what is asked for wrongly goes before an engine that is not there
            chosen = await _choose(settings, environ)
            rules = structs.replace(rules, capabilities=chosen.engine.capabilities)
            spec = await to_spec(request, rules)
        yield Order(wanted=wanted, repository=found, chosen=chosen, rules=rules, spec=spec)


@contextmanager
def _naming_options() -> Generator[None]:
    """Refuse what the API refuses, by the names that a person at a terminal knows."""
    try:
        yield
    except InvalidError as error:
        field = re.split(r"[.\[]", error.field)[0]
        why = str(error).removeprefix(f"{error.field}: ")
        raise InvalidError(error.code, _OPTIONS.get(field, f"--{field}"), why) from error


def _request(found: Repository, fields: Mapping[str, Any]) -> RunRequest:
    """Read the options as the API reads a body, so that both refuse the same in the same words."""
    for field, value in fields.items():
        if not str(value).isascii() and any("\ud800" <= character <= "\udfff" for character in str(value)):
            raise InvalidError("request.invalid", field, "it is no UTF-8")
    body = msgspec.json.encode({"repo_url": found.url, **fields})
    try:
        return msgspec.json.decode(body, type=RunRequest)
    except msgspec.ValidationError as error:
        raise from_decoding(error) from error


async def _choose(settings: Settings, environ: Mapping[str, str]) -> Chosen:
    chosen = await choose_engine(settings, environ)
    health = await chosen.engine.health()
    if not health.ok:
        raise EngineUnavailableError(health.detail)
    return chosen
