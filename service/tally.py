"""What is known of one producer's events, by the numbers that it gave them."""

from agent_image.events import Event, Finished


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
