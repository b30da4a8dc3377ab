"""What model calls cost, in US dollars: prices by model, the bundled ones or an operator's own."""

import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from agent_image.gateway.plan import Price, Rates

_BUNDLED = Path(__file__).with_name("prices.json")
_DATE = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2})$")
_MILLION = 1_000_000


class Tokens(Struct, frozen=True, kw_only=True):
    """What a call took, by the kinds that have prices; no token is in two of them."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0

    @property
    def prompt(self) -> int:
        return self.input + self.cache_read + self.cache_write

    @property
    def total(self) -> int:
        return self.prompt + self.output


class PriceList(Struct, frozen=True, kw_only=True):
    """Prices as they were on the day `taken`, from `source`."""

    taken: date
    source: str
    models: dict[str, Price]

    @classmethod
    def load(cls, file: Path | None = None) -> "PriceList":
        """Read a list; None for the bundled one.

        Raises:
            OSError: the file cannot be read.
            ValueError: it holds no list of prices.

        """
        return _bundled() if file is None else _read(file)

    def price(self, model: str) -> Price | None:
        """Return the price of a model by its name, else by its name without the date, else without the provider."""
        return next((self.models[name] for name in _names(model) if name in self.models), None)


def cost(price: Price | None, tokens: Tokens) -> float | None:
    """Return what the tokens cost in US dollars; None if some were used whose price is not known."""
    if price is None:
        return None
    rates = _rates(price, tokens)
    dollars = tokens.input * rates.input + tokens.output * rates.output
    for count, each in ((tokens.cache_read, rates.cache_read), (tokens.cache_write, rates.cache_write)):
        if count and each is None:
            return None
        dollars += count * (each or 0)
    return dollars / _MILLION


def most(price: Price | None, tokens: Tokens) -> float:
    """Return what the tokens cost at most: a kind whose price is not known, at the highest that is."""
    if price is None:
        return 0.0
    rates = _rates(price, tokens)
    highest = max(each for each in (rates.input, rates.output, rates.cache_read, rates.cache_write) if each is not None)
    kinds = ((tokens.cache_read, rates.cache_read), (tokens.cache_write, rates.cache_write))
    cached = sum(count * (highest if each is None else each) for count, each in kinds)
    return (tokens.input * rates.input + tokens.output * rates.output + cached) / _MILLION


def _rates(price: Price, tokens: Tokens) -> Rates:
    return price.long if price.long and tokens.prompt > price.long.above else price


@cache
def _bundled() -> PriceList:
    return _read(_BUNDLED)


def _read(file: Path) -> PriceList:
    try:
        return msgspec.json.decode(file.read_bytes(), type=PriceList)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


def _names(model: str) -> Iterator[str]:
    own = model.rpartition("/")[2]
    for name in (model, own):
        yield name
        yield _DATE.sub("", name)
