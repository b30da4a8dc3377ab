"""The model providers of a `dagger call`: where they are, what they speak, and who has which model."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import dagger

from aideator.assignment import Assignment
from aideator.reason import reason_of
from aideator.task import SCRIPTED

ANTHROPIC_URL = "https://api.anthropic.com"
OPENAI_URL = "https://api.openai.com/v1"
MODELS_HOST = "models"
"""By which name base URLs reach a model server that the caller passes as a service."""

_SPEAKS = {"claude-code": "messages", "codex": "responses"}
"""The one wire format that a program knows; `builtin` knows all, and a command may know any."""
_FAMILIES = {
    "anthropic": re.compile(r"claude-"),
    "gpt-oss": re.compile(r"gpt-oss"),
    "openai": re.compile(r"gpt-|chatgpt-|codex-|o[134](-|$)"),
}
"""What the names of a provider's models begin with; the first of these that there is has the model."""
_HOW = "give the key as env:NAME, file:PATH or cmd:COMMAND"
_LOOPBACK = re.compile(r"localhost|.*\.localhost|127\..*|::1|0\.0\.0\.0")


@dataclass(frozen=True, kw_only=True)
class Provider:
    name: str
    wire: str
    """What it speaks: messages, responses or chat."""
    base_url: str
    """What comes before `/v1/…`; empty where there is no such provider."""
    key: dagger.Secret | None
    url_flag: str
    key_flag: str
    needs_key: bool = True


def anthropic(base_url: str, key: dagger.Secret | None) -> Provider:
    return _hosted("anthropic", "messages", base_url, key)


def openai(base_url: str, key: dagger.Secret | None, wire: str) -> Provider:
    """OpenAI itself is asked by Responses, a server that stands in for it by what most of those speak, or by `wire`.

    Raises:
        ValueError: `wire` is none of OpenAI's.

    """
    if wire not in {"", "responses", "chat"}:
        raise ValueError(f"--openai-wire is responses or chat, not {wire}")
    usual = "responses" if _root(base_url) == _root(OPENAI_URL) else "chat"
    return _hosted("openai", wire or usual, base_url, key)


def gpt_oss(base_url: str, key: dagger.Secret | None) -> Provider:
    return Provider(
        name="gpt-oss",
        wire="chat",
        base_url=_root(base_url),
        key=key,
        url_flag="--gpt-oss-url",
        key_flag="--llm-api-key",
        needs_key=False,
    )


def asks_model(assignment: Assignment) -> bool:
    return assignment.model not in {"", SCRIPTED}


def provider_and_name(model: str, providers: Sequence[Provider]) -> tuple[Provider, str]:
    """Return the provider of `provider/name`, or of a name whose provider is clear, and the name.

    Raises:
        ValueError: there is no such provider, or no name.

    """
    there = {provider.name: provider for provider in providers if provider.base_url}
    first, slash, rest = model.partition("/")
    provider, name = (there.get(first), rest) if slash else (_family(model, there), model)
    if provider is None or not name:
        raise ValueError(f"no provider for the model {model!r}: write provider/name, one of {', '.join(there)}")
    return provider, name


def named(assignment: Assignment, providers: Sequence[Provider]) -> Assignment:
    """The same assignment with its model as `provider/name`. Raises `ValueError` where there is no such provider."""
    if not asks_model(assignment):
        return assignment
    provider, name = provider_and_name(assignment.model, providers)
    return replace(assignment, model=f"{provider.name}/{name}")


def provider_of(assignment: Assignment, providers: Sequence[Provider]) -> Provider:
    """Return the provider that an assignment's model is asked of.

    Raises:
        ValueError: there is none, its key was not given, it cannot be reached, or the agent does not speak what it
            speaks.

    """
    agent, (provider, _) = assignment.agent, provider_and_name(assignment.model, providers)
    wire = _SPEAKS.get(agent, provider.wire)
    if wire != provider.wire:
        advice = "; --openai-wire says what it does" if provider.name == "openai" and agent == "codex" else ""
        raise ValueError(f"{agent} speaks {wire} alone, and {provider.name} speaks {provider.wire}{advice}")
    if _LOOPBACK.fullmatch(_host(provider.base_url)):
        there = f"give --model-server tcp://localhost:PORT, and {provider.url_flag} http://{MODELS_HOST}:PORT"
        raise ValueError(f"{provider.url_flag}: a container's localhost is not your machine's; {there}")
    if provider.key is None and provider.needs_key:
        raise ValueError(f"the model {assignment.model} needs a key: give {provider.key_flag}")
    return provider


async def read_key(provider: Provider) -> str:
    """Return the key of a provider that was given one.

    Raises:
        ValueError: it cannot be read, or is none.

    """
    assert provider.key is not None
    try:
        key = (await provider.key.plaintext()).strip()
    except dagger.QueryError as error:
        raise ValueError(f"{provider.key_flag} cannot be read: {reason_of(error)}; {_HOW}") from error
    if not key:
        raise ValueError(f"{provider.key_flag} is empty; {_HOW}")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError(f"{provider.key_flag} has characters that no key has; {_HOW}")
    return key


def described(provider: Provider, key_variable: str) -> Mapping[str, object]:
    """The provider as a gateway's plan has it; `key_variable` is empty where there is no key."""
    plain = {
        "name": provider.name,
        "wire": provider.wire,
        "base_url": provider.base_url,
        "key_variable": key_variable,
        "key_name": provider.key_flag,
    }
    if _host(provider.base_url) != MODELS_HOST:
        return plain
    # By the name that it has where it runs: some servers refuse any other.
    _, colon, port = urlsplit(provider.base_url).netloc.rpartition(":")
    return {**plain, "address": "the model server", "headers": {"host": f"localhost{colon}{port if colon else ''}"}}


def _hosted(name: str, wire: str, base_url: str, key: dagger.Secret | None) -> Provider:
    """One that wants a key, and whose flags begin with its name."""
    return Provider(
        name=name,
        wire=wire,
        base_url=_root(base_url),
        key=key,
        url_flag=f"--{name}-base-url",
        key_flag=f"--{name}-api-key",
    )


def _family(name: str, there: Mapping[str, Provider]) -> Provider | None:
    for provider, beginning in _FAMILIES.items():
        if provider in there and beginning.match(name):
            return there[provider]
    return there.get("gpt-oss")


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _root(url: str) -> str:
    """The URL without the `/v1` that those of OpenAI's kind end in."""
    return url.rstrip("/").removesuffix("/v1")
