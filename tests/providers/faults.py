"""How a provider fails: one fault is one bad answer; those that wait for a request are in a queue."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from tests.providers.script import Answer

BEFORE_HEAD = -1
"""Before the head of the answer."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an answer differs from a good one; as JSON it may also be a request's header `x-fault`."""

    status: int = 200
    """Another one than 200: an error in the caller's wire format, at once."""
    error: str = ""
    """The error's type; empty for the one that goes with the status."""
    message: str = "the fake fails on request"
    headers: Mapping[str, str] = {}
    body: str | None = None
    """With a status: instead of the wire's error."""
    then: Literal["", "error", "cut", "end", "silence"] = ""
    """At `after`: an error event and the end, the connection reset, a clean end, or nothing until `release()`."""
    after: int = 0
    """After how many events; an answer that is no stream is one event. `BEFORE_HEAD`: before its head."""
    delay_s: float = 0
    """Before each event."""
    size: int = 0
    """Characters of text instead of the scripted turn; 0 for the turn."""
    breaks_arguments: bool = False
    """True if the arguments of tool calls are to be no JSON."""


def refused(status: int, error: str = "", *, retry_after: str | None = None, **headers: str) -> Fault:
    """A status with an error; `retry_after` is in seconds or an HTTP date, other headers are `retry_after_ms="…"`."""
    if retry_after is not None:
        headers["retry_after"] = retry_after
    return Fault(status=status, error=error, headers={name.replace("_", "-"): value for name, value in headers.items()})


def spend_limit(wire: Literal["messages", "responses", "chat"]) -> Fault:
    """The account may spend no more, as Anthropic or OpenAI says it."""
    return refused(429, "enforced_spend_limit_reached" if wire == "messages" else "insufficient_quota")


def error_after(events: int, error: str = "") -> Fault:
    """An error event in mid-stream: overloaded, unless another one is named."""
    return Fault(then="error", after=events, error=error)


def cut_after(events: int) -> Fault:
    """The connection is reset."""
    return Fault(then="cut", after=events)


def end_after(events: int) -> Fault:
    """The answer ends as if it were whole."""
    return Fault(then="end", after=events)


def silence_after(events: int) -> Fault:
    """Nothing more comes, until the client leaves or `FakeProvider.release()`; then the rest."""
    return Fault(then="silence", after=events)


def slow(delay_s: float) -> Fault:
    """Every event takes its time."""
    return Fault(delay_s=delay_s)


def huge(size: int = 50_000_000) -> Fault:
    """A text of that many characters."""
    return Fault(size=size)


BROKEN_ARGUMENTS = Fault(breaks_arguments=True)


def spoiled(answer: Answer, fault: Fault) -> Answer:
    """Return what the fault makes of an answer."""
    if fault.size:
        return msgspec.structs.replace(answer, text="x" * fault.size, calls=())
    if fault.breaks_arguments:
        calls = [msgspec.structs.replace(call, arguments=call.arguments[:-1] + "!!") for call in answer.calls]
        return msgspec.structs.replace(answer, calls=calls)
    return answer


class _Queued(msgspec.Struct):
    fault: Fault
    left: int | None
    model: str


class FaultQueue:
    """The faults that wait for requests, each for those of one model or of any."""

    def __init__(self) -> None:
        self._queued: list[_Queued] = []

    def add(self, fault: Fault, times: int | None, model: str) -> None:
        """Add a fault for the next so many requests; None for all that come."""
        self._queued.append(_Queued(fault, times, model))

    def clear(self) -> None:
        self._queued.clear()

    def take(self, model: str) -> Fault | None:
        """Return the fault for a request; none if it is to be answered well."""
        for queued in self._queued:
            if queued.model in ("", model):
                if queued.left is not None:
                    queued.left -= 1
                    if queued.left == 0:
                        self._queued.remove(queued)
                return queued.fault
        return None
