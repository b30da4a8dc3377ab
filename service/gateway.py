"""What the gateway of a run is told: which models its variations may ask, where those are, and for how much."""

import secrets
from collections.abc import Iterable

from agent_image.gateway.plan import Grant, Limits, Patience, Plan, Price, Provider
from agent_image.gateway.prices import PriceList
from service import providers
from service.engine import Models
from service.providers import Model, Providers
from service.run import Budget, RunSpec

_GRACE_S = 60.0
"""How long a token outlives its variation's deadline; what ends it in time is the variation's end."""


async def models_of(spec: RunSpec, known: Providers, prices: PriceList, patience: Patience) -> Models | None:
    """What the run's gateway is given; None for a run that asks no models.

    Raises:
        ModelError: a provider or its key is there no more.

    """
    asked = {index: known.resolve(each.model) for index, each in enumerate(spec.agents) if each.asks_a_provider}
    if not asked:
        return None
    used = {model.provider.name: model.provider for model in asked.values()}
    keys = {name: await known.read_key(provider) for name, provider in used.items()}
    variables = {name: f"KEY_{number}" for number, name in enumerate(used) if keys[name]}
    share = _share(spec.budget, len(asked))
    lifetime_s = spec.timeout_s + _GRACE_S
    plan = Plan(
        control_token=secrets.token_urlsafe(32),
        providers=[_provider(each, variables.get(name, "")) for name, each in used.items()],
        grants=[_grant(index, model, share, lifetime_s) for index, model in asked.items()],
        prices=_prices(asked.values(), prices),
        patience=patience,
    )
    return Models(plan=plan, keys={variable: keys[name] for name, variable in variables.items()})


def _grant(index: int, model: Model, share: Limits, lifetime_s: float) -> Grant:
    return Grant(
        token=secrets.token_urlsafe(32),
        variation=index,
        models={model.name: model.provider.name},
        share=share,
        lifetime_s=lifetime_s,
    )


def _prices(models: Iterable[Model], prices: PriceList) -> dict[str, Price]:
    return {model.name: price for model in models if (price := prices.price(model.name))}


def _provider(provider: providers.Provider, variable: str) -> Provider:
    return Provider(
        name=provider.name,
        wire=provider.wire,
        base_url=provider.base_url,
        key_variable=variable,
        address=provider.base_url,  # an engine may reach it by another
        key_name=_key_name(provider),
    )


def _key_name(provider: providers.Provider) -> str:
    """Where people look for the key; a path or a command is for the operator alone."""
    if not provider.key:
        return ""
    scheme, _, rest = provider.key.partition("://")
    return rest if scheme == "env" else f"the key of {provider.name} in {providers.FILE}"


def _share(budget: Budget | None, variations: int) -> Limits:
    """One variation's part of what the judge does not get."""
    if budget is None:
        return Limits()
    part = (1 - budget.reserve) / variations
    return Limits(
        usd=None if budget.usd is None else budget.usd * part,
        tokens=None if budget.tokens is None else _whole(budget.tokens * part),
        calls=None if budget.calls is None else _whole(budget.calls * part),
    )


def _whole(share: float) -> int:
    """Round down, but a tenth of ten is one, whatever fractions make of it."""
    return int(share + 1e-6)
