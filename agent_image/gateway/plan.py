"""What a run's gateway is told when it starts: who may call which models, where those are, and for how much.

A JSON file, with the tokens in it, so a secret one. The providers' keys are not in it: they are in variables of the
gateway's environment, which the plan names.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Wire = Literal["messages", "responses", "chat"]
"""Anthropic's Messages, OpenAI's Responses, or Chat Completions, which most others speak."""


class Provider(Struct, frozen=True, kw_only=True):
    name: str
    wire: Wire
    """What the provider speaks for certain; one of OpenAI's two is relayed to the other's path as well."""
    base_url: str
    """What comes before `/v1/…`."""
    key_variable: str = ""
    """Where in the environment the key is; empty for a provider that wants none."""
    headers: dict[str, str] = {}
    """Sent with every call, in lower case; `host` is what the provider calls itself, where it is reached otherwise."""
    address: str = ""
    """What people know it by, where that is not `base_url`."""
    key_name: str = ""
    """What people call the key: the variable that it is in, for one."""


class Rates(Struct, frozen=True, kw_only=True):
    """US dollars for a million tokens; None where a kind of token has no price of its own that is known."""

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None


class LongRates(Rates, frozen=True, kw_only=True):
    """What holds for a whole call whose prompt is long."""

    above: int
    """Tokens of a prompt, those of caches included."""


class Price(Rates, frozen=True, kw_only=True):
    long: LongRates | None = None
    """None for a model whose calls cost the same however long they are."""


class Limits(Struct, frozen=True, kw_only=True):
    """What one variation may use; None for no limit."""

    usd: Annotated[float, Meta(ge=0)] | None = None
    tokens: Annotated[int, Meta(ge=0)] | None = None
    calls: Annotated[int, Meta(ge=0)] | None = None


class Grant(Struct, frozen=True, kw_only=True):
    """What one variation may do, for whoever has its token."""

    token: str
    variation: int
    models: dict[str, str]
    """The models' names, as providers know them, and the name of each one's provider."""
    share: Limits = Limits()
    lifetime_s: float
    """Seconds from the first call, after which the token is good no more."""

    def __repr__(self) -> str:
        return f"Grant(variation={self.variation})"


class Patience(Struct, frozen=True, kw_only=True):
    """How long things may take, in seconds, and how often they are tried."""

    retries: int = 5
    """Of a call that the provider failed, before it answered a byte."""
    first_backoff_s: float = 1.0
    longest_backoff_s: float = 30.0
    longest_wait_s: float = 300.0
    """A provider that asks for more is taken to refuse."""
    connect_s: float = 10.0
    silence_s: float = 60.0
    """Between two chunks of an answer."""
    call_s: float = 600.0
    """For a whole call."""


class Plan(Struct, frozen=True, kw_only=True):
    control_token: str
    """For who runs the gateway: retires tokens, reads the ledger."""
    providers: list[Provider]
    grants: list[Grant]
    prices: dict[str, Price] = {}
    """By model; they go before the bundled ones."""
    patience: Patience = Patience()

    def __repr__(self) -> str:
        return f"Plan(providers={[provider.name for provider in self.providers]}, grants={self.grants})"
