"""The plan as it is read at the start, with the keys that it names."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from agent_image.gateway.plan import Plan, Provider


class PlanError(Exception):
    """There is no plan that could be carried out; the message is one sentence for people, with no secret in it."""


def read_plan(file: Path, environment: Mapping[str, str]) -> tuple[Plan, dict[str, str]]:
    """Read a plan, and the providers' keys by provider; empty for one that wants none.

    Raises:
        PlanError: there is none, or it contradicts itself or the environment.

    """
    try:
        plan = msgspec.json.decode(file.read_bytes(), type=Plan)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise PlanError(f"the plan {file} cannot be read: {error}") from error
    if reason := next(_contradictions(plan), ""):
        raise PlanError(f"the plan {file} is wrong: {reason}")
    return plan, {provider.name: _key(provider, environment) for provider in plan.providers}


def _contradictions(plan: Plan) -> Iterator[str]:
    names = [provider.name for provider in plan.providers]
    tokens = [plan.control_token, *(grant.token for grant in plan.grants)]
    if len(set(names)) < len(names):
        yield "two providers have the same name"
    if len(set(tokens)) < len(tokens) or not all(tokens):
        yield "a token is empty, or there twice"
    for provider in plan.providers:
        if not _is_http(provider.base_url):
            yield f"the base URL of {provider.name} is not one of http or https"
    for grant in plan.grants:
        if unknown := set(grant.models.values()) - set(names):
            yield f"variation {grant.variation} has models of {', '.join(sorted(unknown))}, which is no provider"


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0 and not (parts.query or parts.fragment)
    )


def _key(provider: Provider, environment: Mapping[str, str]) -> str:
    if not provider.key_variable:
        return ""
    key = environment.get(provider.key_variable, "").strip()
    if not key:
        raise PlanError(f"the environment has no key for {provider.name} in {provider.key_variable}")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise PlanError(f"the key in {provider.key_variable} has characters that no key has")
    return key
