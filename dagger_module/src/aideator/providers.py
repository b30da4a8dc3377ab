"""The model providers of a `dagger call`, and the gateway that asks them for its variations."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagger

from aideator.assignment import Assignment
from aideator.gateway import gateway
from aideator.variation import SCRIPTED

ANTHROPIC_URL = "https://api.anthropic.com"
OPENAI_URL = "https://api.openai.com/v1"
MODELS_HOST = "models"
"""By which name base URLs reach a model server that the caller passes as a service."""

_GRACE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Provider:
    """Where models are. Without a `base_url` there is none."""

    name: str
    wire: str
    """What it speaks: messages, responses or chat."""
    base_url: str
    key: dagger.Secret | None
    flag: str = ""
    """The flag that gives the key; empty for a provider that may want none."""


def anthropic(base_url: str, key: dagger.Secret | None) -> Provider:
    return Provider(name="anthropic", wire="messages", base_url=base_url, key=key, flag="--anthropic-api-key")


def openai(base_url: str, key: dagger.Secret | None) -> Provider:
    """OpenAI itself is asked by Responses, a server that stands in for it by what most of those speak."""
    wire = "responses" if base_url == OPENAI_URL else "chat"
    return Provider(name="openai", wire=wire, base_url=base_url, key=key, flag="--openai-api-key")


def gpt_oss(base_url: str, key: dagger.Secret | None) -> Provider:
    return Provider(name="gpt-oss", wire="chat", base_url=base_url, key=key)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a whole run may use; 0 for no limit."""

    usd: float
    tokens: int
    calls: int

    def share(self, variations: int) -> dict[str, float | int]:
        """One variation's part of each limit that there is."""
        shares = {"usd": self.usd / variations, "tokens": self.tokens // variations, "calls": self.calls // variations}
        limits = {"usd": self.usd, "tokens": self.tokens, "calls": self.calls}
        return {name: share for name, share in shares.items() if limits[name] > 0}


def asks_model(assignment: Assignment) -> bool:
    return assignment.model not in {"", SCRIPTED}


def provider_of(assignment: Assignment, providers: Sequence[Provider]) -> Provider:
    """Return the provider of an assignment's model.

    Raises:
        ValueError: there is no such provider, its key was not given, or the agent does not speak what it speaks.

    """
    agent, model = assignment.agent, assignment.model
    there = {provider.name: provider for provider in providers if provider.base_url}
    if (provider := there.get(model.partition("/")[0])) is None:
        raise ValueError(f"the provider of the model {model} is none of {', '.join(there)}")
    if provider.key is None and provider.flag:
        raise ValueError(f"the model {model} needs a key: give {provider.flag}")
    if (agent == "claude-code" and provider.wire != "messages") or (agent == "codex" and provider.wire == "messages"):
        raise ValueError(f"{agent} does not speak what {provider.name} speaks")
    return provider


def open_gateway(
    client: dagger.Client,
    *,
    run_id: str,
    assignments: Sequence[Assignment],
    providers: Sequence[Provider],
    budget: Budget,
    timeout_s: float,
    harness: dagger.Directory,
    packages: dagger.Directory,
    upstreams: Mapping[str, dagger.Service],
) -> tuple[dagger.Service, list[dagger.Secret]]:
    """The run's gateway, and a token for each variation.

    Tokens are random in each call. They are secrets with a name, and the engine's cache goes by that, so a second call
    with the same run id still reads the work of the first.
    """
    tokens = [secrets.token_urlsafe(32) for _ in assignments]
    used = {each.name: each for each in (provider_of(one, providers) for one in assignments if asks_model(one))}
    variables = {name: f"KEY_{number}" for number, name in enumerate(used)}
    plan = {
        "control_token": secrets.token_urlsafe(32),
        "providers": [
            {
                "name": each.name,
                "wire": each.wire,
                "base_url": each.base_url,
                "key_variable": variables[each.name] if each.key else "",
            }
            for each in used.values()
        ],
        "grants": [
            {
                "token": tokens[index],
                "variation": index,
                "models": _models(each),
                "share": budget.share(len(assignments)),
                "lifetime_s": timeout_s + _GRACE_S,
            }
            for index, each in enumerate(assignments)
        ],
    }
    service = gateway(
        client,
        harness=harness,
        packages=packages,
        plan=client.set_secret(f"aideator-{run_id}-plan", json.dumps(plan)),
        keys={variables[name]: each.key for name, each in used.items() if each.key},
        upstreams=upstreams,
    )
    names = (f"aideator-{run_id}-token-{index}" for index in range(len(tokens)))
    return service, [client.set_secret(name, token) for name, token in zip(names, tokens, strict=True)]


def _models(assignment: Assignment) -> dict[str, str]:
    provider, _, name = assignment.model.partition("/")
    return {name: provider} if asks_model(assignment) else {}
