"""The time that a provider asked for, or that it seems to need: for all who use the same key."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial

import anyio

from agent_image.events import Waiting
from agent_image.gateway.ledger import Ledger
from agent_image.gateway.plan import Patience
from agent_image.gateway.refusal import RefusedError

_WORTH_TELLING_S = 1.0
"""By how much a wait has to become longer to be told anew."""


def backoff(patience: Patience, failures: int) -> float:
    """Return how long to wait after so many failures in a row, from 1: each time twice as long, up to a limit.

    By chance it is down to half of that: what failed together shall not come back together.
    """
    longest = min(patience.first_backoff_s * 2 ** min(failures - 1, 60), patience.longest_backoff_s)
    return random.uniform(longest / 2, longest)  # noqa: S311 nothing is kept secret by it


def asked_for(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds an answer asks to wait; None if it asks nothing that can be understood."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):  # a year of twenty digits, for one
        return None


class Cooldown:
    """Of one provider's key."""

    def __init__(self, provider: str, patience: Patience, ledger: Ledger) -> None:
        self._provider = provider
        self._patience = patience
        self._ledger = ledger
        self._began = -1.0
        self._until = 0.0
        self._in_a_row = 0
        self._code = ""
        self._reason = ""

    @property
    def is_on(self) -> bool:
        return anyio.current_time() < self._until

    def begin(self, code: str, reason: str, asked_s: float | None, *, sent_at: float) -> None:
        """Wait because a request sent at `sent_at` was refused: for `asked_s`, or if None for longer each time.

        A request that was sent before the last cool-down began was refused for the same cause. At most it prolongs that
        one. `code` and `reason` are for those who may not wait that long.
        """
        is_new = sent_at >= self._began
        if not is_new and asked_s is None:
            return
        self._in_a_row += is_new
        seconds = max(asked_s or backoff(self._patience, self._in_a_row), self._patience.first_backoff_s)
        now = anyio.current_time()
        if is_new or now + seconds > self._until + _WORTH_TELLING_S:
            self.tell(reason, seconds)
        if is_new:
            self._began = now
        if now + seconds > self._until:
            asked = f" It asked for {asked_s:.0f} s." if asked_s else ""
            self._until, self._code, self._reason = now + seconds, code, f"{reason}.{asked}"

    def end(self) -> None:
        """Note that the provider has answered: the next cool-down is a first one again."""
        self._in_a_row = 0

    async def wait(self, longest_s: float) -> float:
        """Wait until it is over, and return how many seconds it took.

        Raises:
            RefusedError: it would take longer than `longest_s`.

        """
        waited = 0.0
        while (left := self._until - anyio.current_time()) > 0:
            if waited + left > longest_s:
                limit = f"the longest wait that is allowed here, {self._patience.longest_wait_s:g} s"
                raise RefusedError(self._code, f"{self._reason} It takes more than {limit}.")
            # Those who waited together do not come back together.
            pause = left + random.uniform(0, min(left, self._patience.longest_backoff_s) / 4)  # noqa: S311
            await anyio.sleep(pause)
            waited += pause
        return waited

    def tell(self, reason: str, seconds: float) -> None:
        """Tell of a wait, if anybody waits for so long."""
        if seconds > self._patience.longest_wait_s:
            return
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        self._ledger.emit(partial(Waiting, reason=reason, for_s=seconds, until=until, provider=self._provider))
