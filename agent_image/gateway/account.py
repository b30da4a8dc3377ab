"""What one variation may do, what it has used, and what it is doing."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import partial

import anyio

from agent_image.events import CallFailed, Usage
from agent_image.gateway.ledger import Ledger
from agent_image.gateway.plan import Grant
from agent_image.gateway.prices import Tokens
from agent_image.gateway.refusal import RefusedError
from agent_image.gateway.totals import Totals

_LONGEST_NAME = 200
_LONGEST_REASON = 500
_MOST_FAILURES = 200
"""Of one variation are told; one that does nothing but fail does not fill the ledger."""


class Account:
    """The holder of one grant."""

    def __init__(self, grant: Grant, ledger: Ledger) -> None:
        self.grant = grant
        self.totals = Totals()
        self._ledger = ledger
        self._ends_at: float | None = None
        self._is_retired = False
        self._working: set[anyio.CancelScope] = set()
        self._admitted = 0
        self._charged_tokens = 0
        self._charged_usd = 0.0
        self._has_had_its_last_call = False
        self._failures = 0
        one_by_one = grant.share.usd is not None or grant.share.tokens is not None
        self._turn = anyio.Lock() if one_by_one else nullcontext()

    @property
    def is_over(self) -> bool:
        """True once the token is good no more."""
        return self._is_retired or (self._ends_at is not None and anyio.current_time() >= self._ends_at)

    def begin(self) -> None:
        """Let the lifetime run, if it does not run yet."""
        if self._ends_at is None:
            self._ends_at = anyio.current_time() + self.grant.lifetime_s

    def retire(self) -> None:
        """End it, and cut the calls that run."""
        self._is_retired = True
        for scope in self._working:
            scope.cancel()

    @contextmanager
    def working(self) -> Generator[anyio.CancelScope]:
        """Do something for this account until it is retired; the scope has then caught the cancellation."""
        with anyio.CancelScope() as scope:
            self._working.add(scope)
            if self.is_over:  # since its token was seen
                scope.cancel()
            try:
                yield scope
            finally:
                self._working.discard(scope)

    @asynccontextmanager
    async def admission(self) -> AsyncGenerator[bool]:
        """Admit a call and yield whether it is the last one.

        Where what a call takes is limited, calls take turns: so one call at most goes beyond the limit.

        Raises:
            RefusedError: the budget is spent, and the last call was made.

        """
        async with self._turn:
            yield self._admit()

    def charge(self, tokens: Tokens, cost_usd: float | None) -> None:
        """Count against the share; whatever nobody knows the cost of has no share in dollars."""
        self._charged_tokens += tokens.total
        self._charged_usd += cost_usd or 0.0

    def spend(self, tokens: Tokens | None, cost_usd: float | None, *, model: str) -> None:
        """Note what an answered call took; None for tokens of which nothing is known."""
        used = tokens or Tokens()
        self.totals += Totals(
            calls=1,
            input_tokens=used.input,
            output_tokens=used.output,
            cache_read_tokens=used.cache_read,
            cache_write_tokens=used.cache_write,
            cost_usd=cost_usd,
        )
        usage = partial(Usage, model=model, provider=self.grant.models[model], variation=self.grant.variation)
        usage = partial(usage, input_tokens=used.input, output_tokens=used.output, cost_usd=cost_usd)
        self._ledger.emit(partial(usage, cache_read_tokens=used.cache_read, cache_write_tokens=used.cache_write))

    def fail(self, code: str, reason: str, *, model: str) -> None:
        """Note that a call came to nothing."""
        self._failures += 1
        if self._failures > _MOST_FAILURES:
            return
        failed = partial(CallFailed, variation=self.grant.variation, code=code, reason=reason[:_LONGEST_REASON])
        provider = self.grant.models.get(model, "")
        self._ledger.emit(partial(failed, model=model[:_LONGEST_NAME], provider=provider))

    def _admit(self) -> bool:
        if self._has_had_its_last_call:
            raise RefusedError("llm.budget", "The budget of this work is spent, and the last call was made.")
        self._has_had_its_last_call = self._is_spent()
        self._admitted += 1
        return self._has_had_its_last_call

    def _is_spent(self) -> bool:
        share, usd, tokens = self.grant.share, self._charged_usd, self._charged_tokens
        spent = ((usd, share.usd), (tokens, share.tokens), (self._admitted, share.calls))
        return any(limit is not None and used >= limit for used, limit in spent)
