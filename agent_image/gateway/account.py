"""What one variation may do, what it has used, and what it is doing."""

from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import partial

import anyio

from agent_image.events import CallFailed, Usage
from agent_image.gateway.ledger import Ledger
from agent_image.gateway.plan import Grant
from agent_image.gateway.prices import Tokens
from agent_image.gateway.refusal import RefusedError
from agent_image.gateway.term import Term
from agent_image.gateway.totals import Totals

_LONGEST_NAME = 200
_LONGEST_REASON = 500
_MOST_FAILURES = 200
"""Of one variation are told; one that does nothing but fail does not fill the ledger."""
_MOST_CALLS = 8
"""At once, those that wait for something included."""
_MOST_BYTES = 64 * 1024 * 1024
"""Of requests at once."""
_TOO_MUCH = f"At most {_MOST_CALLS} calls and {_MOST_BYTES // 1024 // 1024} MB of requests are relayed at once."
_BEYOND_S = 30.0


class Account:
    """The holder of one grant."""

    def __init__(self, grant: Grant, ledger: Ledger) -> None:
        self.grant = grant
        self.totals = Totals()
        self._ledger = ledger
        self._ends_at: float | None = None
        self._is_retired = False
        self._working: set[Term] = set()
        self._calls = 0
        self._bytes = 0
        self._admitted = 0
        self._charged_tokens = 0
        self._charged_usd = 0.0
        self._has_had_its_last_call = False
        self._has_had_it_back = False
        self._failures = 0
        self._turn = anyio.Lock() if self.beyond_s else nullcontext()

    @property
    def beyond_s(self) -> float:
        """How long an answer is read on when nobody waits for it: for what it took, where that is limited."""
        return _BEYOND_S if self.grant.share.usd is not None or self.grant.share.tokens is not None else 0.0

    @property
    def is_over(self) -> bool:
        """True once the token is good no more."""
        return self._is_retired or (self._ends_at is not None and anyio.current_time() >= self._ends_at)

    def begin(self) -> None:
        """Let the lifetime run, if it does not run yet."""
        if self._ends_at is None:
            self._ends_at = anyio.current_time() + self.grant.lifetime_s

    def retire(self, beyond_s: float = _BEYOND_S) -> None:
        """End it, and cut the calls that run; their answers are read on for `beyond_s` at most."""
        self._is_retired = True
        for term in self._working:
            term.end(beyond_s)

    @contextmanager
    def working(self, term: Term) -> Generator[None]:
        """Do something for this account until it is retired."""
        with term.scope:
            self._working.add(term)
            if self.is_over:  # since its token was seen
                term.end()
            try:
                yield
            finally:
                self._working.discard(term)

    @contextmanager
    def holding(self) -> Generator[Callable[[int], None]]:
        """Take a call on, and yield what has to be told of the bytes that it brings.

        Raises:
            RefusedError: that is too much at once; `llm.rate_limited`.

        """
        sizes: list[int] = []

        def take(size: int) -> None:
            sizes.append(size)
            self._bytes += size
            if self._calls > _MOST_CALLS or self._bytes > _MOST_BYTES:
                raise RefusedError("llm.rate_limited", _TOO_MUCH, is_final=False)

        self._calls += 1
        try:
            take(0)
            yield take
        finally:
            self._calls -= 1
            self._bytes -= sum(sizes)

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

    def check(self) -> None:
        """Refuse with `llm.budget` if the last call was made."""
        share = self.grant.share
        if share.calls == 0:
            raise RefusedError("llm.budget", "The budget of this work is spent (its share: 0 calls).")
        if self._has_had_its_last_call:
            spent = " and ".join(self._spent())
            reason = f"The budget of this work is spent (its share: {spent}), and the last call was made."
            raise RefusedError("llm.budget", reason)

    def give_back(self) -> None:
        """Let the last call be made again, once: it came to nothing."""
        if not self._has_had_it_back:
            self._has_had_it_back = True
            self._has_had_its_last_call = False
            self._admitted -= 1

    def _admit(self) -> bool:
        self.check()
        self._admitted += 1
        self._has_had_its_last_call = any(self._spent())
        return self._has_had_its_last_call

    def _spent(self) -> Iterator[str]:
        """Yield the limits that are reached; that of calls is with the last one that it allows."""
        share = self.grant.share
        if share.usd is not None and self._charged_usd >= share.usd:
            yield f"{share.usd:g} US dollars"
        if share.tokens is not None and self._charged_tokens >= share.tokens:
            yield f"{share.tokens} tokens"
        if share.calls is not None and self._admitted >= share.calls:
            yield f"{share.calls} call{'s' if share.calls != 1 else ''}"
