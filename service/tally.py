"""What is known of one producer's events, by the numbers that it gave them."""

from agent_image.events import Event, Finished


class Tally:
    """Numbers are dense from 1, and `finished` is the last: so it is known whether an event is missing."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self.finished: Finished | None = None

    def is_new(self, event: Event) -> bool:
        """Note an event; False for one that was there before. What was no event has number 0, and is always new."""
        if event.n == 0:
            return True
        if event.n in self._seen:
            return False
        self._seen.add(event.n)
        if isinstance(event, Finished):
            self.finished = event
        return True

    @property
    def is_complete(self) -> bool:
        """True if `finished` is there, and every number before it."""
        return self.finished is not None and len(self._seen) == self.finished.n
