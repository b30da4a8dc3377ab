"""The time that one call has, which becomes short once nobody waits for its answer any more."""

import math
from collections.abc import Generator
from contextlib import contextmanager

import anyio


class Term:
    """`beyond_s`: seconds for which an answer is read on when nobody waits for it; 0 for one that is dropped at once.

    What is done for a call is done within `scope`, and what is asked of a provider within a `limit` of it.
    """

    def __init__(self, beyond_s: float) -> None:
        self.scope = anyio.CancelScope()
        self.over = anyio.Event()
        """Set when nobody waits any more."""
        self.is_asked = False
        """True while a provider works on it, or may do so."""
        self._beyond_s = beyond_s
        self._ends_at = math.inf
        self._limits: set[anyio.CancelScope] = set()

    @property
    def is_over(self) -> bool:
        return self.over.is_set()

    @property
    def left_s(self) -> float:
        return self._ends_at - anyio.current_time()

    def prolong(self, seconds: float) -> None:
        self._ends_at += seconds

    def hurry(self, seconds: float) -> None:
        """Allow that much more time at most, also for what runs."""
        self._ends_at = min(self._ends_at, anyio.current_time() + seconds)
        for limit in self._limits:
            limit.deadline = min(limit.deadline, self._ends_at)

    def end(self, beyond_s: float = math.inf) -> None:
        """Cancel all but what a provider does, which gets `beyond_s` at most."""
        self.over.set()
        self.hurry(min(beyond_s, self._beyond_s))
        self.scope.cancel()

    @contextmanager
    def limit(self, longest_s: float) -> Generator[None]:
        """Do something of which what comes after has to see whether it came to its end."""
        deadline = min(anyio.current_time() + longest_s, self._ends_at)
        with anyio.CancelScope(deadline=deadline, shield=self._beyond_s > 0) as scope:
            self._limits.add(scope)
            try:
                yield
            finally:
                self._limits.discard(scope)
