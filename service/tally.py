"""What is known of one producer's events, by the numbers that it gave them."""

from msgspec.structs import replace

from agent_image.events import Event, Finished, Usage
from agent_image.gateway.totals import Totals


def call_totals(event: Usage) -> Totals:
    """Return what one model call took."""
    return Totals(
        calls=1,
        input_tokens=event.input_tokens,
        output_tokens=event.output_tokens,
        cache_read_tokens=event.cache_read_tokens,
        cache_write_tokens=event.cache_write_tokens,
        cost_usd=event.cost_usd,
    )


def rounded(usage: Totals | None) -> Totals | None:
    """Leave out of the cost what is a sum's error, and nobody's money."""
    if usage is None or usage.cost_usd is None:
        return usage
    return replace(usage, cost_usd=round(usage.cost_usd, 9))


class Tally:
    """Numbers are dense from 1, and `finished` is the last: so it is known whether an event is missing."""

    def __init__(self) -> None:
        self._next = 1
        self._ahead: set[int] = set()
        """Numbers above a missing one; empty as long as none is missing."""
        self.finished: Finished | None = None

    def is_new(self, event: Event) -> bool:
        """Note an event; False for one that was there before. What was no event has number 0, and is always new."""
        if event.n == 0:
            return True
        if event.n < self._next or event.n in self._ahead:
            return False
        self._ahead.add(event.n)
        while self._next in self._ahead:
            self._ahead.remove(self._next)
            self._next += 1
        if isinstance(event, Finished):
            self.finished = event
        return True

    @property
    def is_complete(self) -> bool:
        """True if `finished` is there, and every number before it."""
        return self.finished is not None and self._next > self.finished.n
