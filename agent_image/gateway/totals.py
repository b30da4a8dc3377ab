"""What model calls took, summed up."""

from msgspec import Struct


class Totals(Struct, frozen=True, kw_only=True):
    """Tokens as providers count them; those of a cache are not in `input_tokens`."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float | None = 0.0
    """None as soon as what one call cost is unknown."""

    def __add__(self, other: "Totals") -> "Totals":
        known = self.cost_usd is not None and other.cost_usd is not None
        return Totals(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            cost_usd=(self.cost_usd or 0.0) + (other.cost_usd or 0.0) if known else None,
        )
