"""What the gateway of a `dagger call` is told, and the gateway that is told it."""

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import dagger

from aideator.assignment import Assignment
from aideator.budget import Budget
from aideator.gateway import gateway
from aideator.providers import Provider, asks_model, described

_GRACE_S = 60.0


def plan(
    assignments: Sequence[Assignment],
    providers: Sequence[Provider],
    *,
    tokens: Sequence[str],
    variables: Mapping[str, str],
    budget: Budget,
    timeout_s: float,
) -> dict[str, Any]:
    """Return the plan, for `agent_image/gateway/plan.py`, with a grant for each variation that asks models.

    `providers` are those that are asked, `variables` have their keys, and `tokens` are by variation.
    """
    share = budget.share(sum(map(asks_model, assignments)))
    return {
        "control_token": secrets.token_urlsafe(32),
        "providers": [described(each, variables.get(each.name, "")) for each in providers],
        "grants": [
            {
                "token": tokens[index],
                "variation": index,
                "models": _models(each),
                "share": share,
                "lifetime_s": timeout_s + _GRACE_S,
            }
            for index, each in enumerate(assignments)
            if asks_model(each)
        ],
    }


def open_gateway(
    client: dagger.Client,
    *,
    run_id: str,
    assignments: Sequence[Assignment],
    providers: Sequence[Provider],
    keys: Mapping[str, str],
    budget: Budget,
    timeout_s: float,
    harness: dagger.Directory,
    packages: dagger.Directory,
    upstreams: Mapping[str, dagger.Service],
) -> tuple[dagger.Service, list[dagger.Secret]]:
    """The run's gateway, and a token for each variation; `keys` are by provider, none for one that has no key.

    Keys, plan and tokens, which are random in each call, are secrets with a name, and the engine's cache goes by that:
    a second call with the same run id reads the work of the first, even with another key.
    """

    def secret(name: str, value: str) -> dagger.Secret:
        return client.set_secret(f"aideator-{run_id}-{name}", value)

    tokens = [secrets.token_urlsafe(32) for _ in assignments]
    variables = {name: f"KEY_{number}" for number, name in enumerate(keys)}
    told = plan(assignments, providers, tokens=tokens, variables=variables, budget=budget, timeout_s=timeout_s)
    service = gateway(
        client,
        harness=harness,
        packages=packages,
        plan=secret("plan", json.dumps(told)),
        keys={variables[name]: secret(f"key-{name}", key) for name, key in keys.items()},
        upstreams=upstreams,
    )
    return service, [secret(f"token-{index}", token) for index, token in enumerate(tokens)]


def _models(assignment: Assignment) -> dict[str, str]:
    provider, _, name = assignment.model.partition("/")
    return {name: provider}
