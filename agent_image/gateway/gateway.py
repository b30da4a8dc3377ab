"""The gateway of one run, put together from its plan."""

from collections.abc import Iterator, Mapping

import httpx2
from msgspec import structs

from agent_image.gateway.access import Access
from agent_image.gateway.account import Account
from agent_image.gateway.ledger import Ledger
from agent_image.gateway.plan import Grant, Plan, Price, Wire
from agent_image.gateway.prices import PriceList, Tokens, cost, most
from agent_image.gateway.refusal import RefusedError
from agent_image.gateway.request import PATHS, ModelRequest
from agent_image.gateway.upstream import Upstream

_LONGEST_NAME = 100


class Gateway:
    """What all calls share. `keys` are the providers' keys by provider."""

    def __init__(self, plan: Plan, keys: Mapping[str, str], *, client: httpx2.AsyncClient, ledger: Ledger) -> None:
        self.ledger = ledger
        self.access = Access([Account(grant, ledger) for grant in plan.grants], plan.control_token)
        self._upstreams = {
            each.name: Upstream(each, keys[each.name], client=client, patience=plan.patience, ledger=ledger)
            for each in plan.providers
        }
        bundled = PriceList.load()
        self._prices = structs.replace(bundled, models={**bundled.models, **plan.prices})

    def upstream(self, grant: Grant, request: ModelRequest) -> Upstream:
        """Return the provider of the model that is asked for.

        Raises:
            RefusedError: the grant does not have the model, the model is not asked on that path, or what the call
                takes, which is to stay below a limit, cannot be known.

        """
        upstream = self._upstreams.get(grant.models.get(request.model, ""))
        if upstream is None or request.wire not in _wires_of(upstream):
            raise RefusedError("llm.model", self._models_there_are(grant, request))
        if grant.share.usd is not None and self._prices.price(request.model) is None:
            reason = f"The budget of this work is in US dollars, and nobody knows the price of {request.model}."
            raise RefusedError("llm.budget", reason)
        if request.refers and (grant.share.usd is not None or grant.share.tokens is not None):
            reason = f"What this work uses is limited, and what `{request.refers}` stands for cannot be seen here."
            raise RefusedError("llm.refused", reason)
        return upstream

    def cost(self, request: ModelRequest, tokens: Tokens | None) -> float | None:
        """Return what an answer cost in US dollars; None where the price or what it took is unknown."""
        return None if tokens is None else cost(self._price(request), tokens)

    def charge_usd(self, request: ModelRequest, tokens: Tokens) -> float:
        """Return what the tokens count in US dollars; whatever nobody knows the price of counts nothing."""
        return most(self._price(request), tokens)

    def _price(self, request: ModelRequest) -> Price | None:
        price = self._prices.price(request.model)
        if price and price.cache_write is None and request.wire != "messages":
            # Where OpenAI has no price for writing to its cache, what is written is input like any other.
            return structs.replace(price, cache_write=price.input)
        return price

    def _models_there_are(self, grant: Grant, request: ModelRequest) -> str:
        there = "; ".join(f"{model} on {paths}" for model, paths in self._paths(grant)) or "none"
        return f"The model {request.model[:_LONGEST_NAME]!r} is not allowed on {request.path}. Allowed: {there}."

    def _paths(self, grant: Grant) -> Iterator[tuple[str, str]]:
        for model, provider in grant.models.items():
            yield model, " and ".join(PATHS[wire] for wire in _wires_of(self._upstreams[provider]))


def _wires_of(upstream: Upstream) -> tuple[Wire, ...]:
    """The wire formats in which a provider can be asked: OpenAI's two go together."""
    return ("messages",) if upstream.wire == "messages" else ("chat", "responses")
