"""What model calls took, summed up."""

from collections.abc import Iterable
from functools import reduce

from msgspec import Struct


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens as providers count them; those of a cache are not in `input_tokens`."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float | None = 0.0
    """None as soon as the price of one call is unknown."""

    def __add__(self, other: "Usage") -> "Usage":
        known = self.cost_usd is not None and other.cost_usd is not None
        return Usage(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            cost_usd=(self.cost_usd or 0.0) + (other.cost_usd or 0.0) if known else None,
        )


def total(usages: Iterable[Usage]) -> Usage:
    return reduce(Usage.__add__, usages, Usage())
