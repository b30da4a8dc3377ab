"""What a run may use, and each variation's part of it."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

PRICES = "gateway/prices.json"
"""Where in `agent_image` the models' prices stand."""

_DATE = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2})$")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The limits of a whole run; 0 for none."""

    usd: float = 0.0
    tokens: int = 0
    calls: int = 0

    def check(self, asking: int) -> None:
        """Raise `ValueError` where a limit is none, or too small for `asking` variations that ask models."""
        for name, limit in asdict(self).items():
            if not 0 <= limit < math.inf:
                raise ValueError(f"--budget-{name} is a number, 0 or more, not {limit:g}")
        for name, limit in (("token", self.tokens), ("call", self.calls)):
            if 0 < limit < asking:
                raise ValueError(f"--budget-{name}s: {asking} variations ask models: not one {name} for each")

    def share(self, asking: int) -> dict[str, float | int]:
        """One variation's part of each limit that there is, where `asking` of them ask models."""
        shares = {"usd": self.usd / asking, "tokens": self.tokens // asking, "calls": self.calls // asking}
        return {name: share for name, share in shares.items() if share}


def check_priced(models: Sequence[str], prices: str) -> None:
    """Check that the price of each `provider/name` is known; `prices` is the text of `PRICES`.

    Raises:
        ValueError: it is not, so nobody could keep a budget in US dollars.

    """
    known: dict[str, Any] = json.loads(prices)["models"]
    for model in models:
        if known.keys().isdisjoint(_names(model.partition("/")[2])):
            raise ValueError(
                f"--budget-usd: nobody knows the price of {model}; limit --budget-tokens or --budget-calls"
            )


def _names(model: str) -> Iterator[str]:
    """What a model's price may stand under, as the gateway looks for it."""
    for name in (model, model.rpartition("/")[2]):
        yield name
        yield _DATE.sub("", name)
