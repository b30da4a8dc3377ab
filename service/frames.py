"""A run's log on the wire: one server-sent event a frame, encoded once, the same bytes for every viewer and replay.

    id: <fence>-<seq>
    event: agent_output | agent_complete | run_output | run_status | run_complete
    data: {"run_id", "seq", "variation_id", "type", "content", "timestamp", "event"}

`content`, `timestamp` and `variation_id` are what the first AIdeator sent; `event` is the whole event, typed by `kind`.
See https://html.spec.whatwg.org/multipage/server-sent-events.html for the format.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from agent_image import events
from agent_image.gateway.totals import Totals
from service.ending import Ending
from service.run import State
from service.tally import rounded


class FrameName(StrEnum):
    """What `event:` says."""

    AGENT_OUTPUT = "agent_output"
    AGENT_COMPLETE = "agent_complete"
    RUN_OUTPUT = "run_output"
    RUN_STATUS = "run_status"
    RUN_COMPLETE = "run_complete"
    HEARTBEAT = "heartbeat"
    """A sign of life; it has no id, and is not part of the log."""


class StateChanged(Struct, frozen=True, kw_only=True, tag_field="kind", tag="state_changed", omit_defaults=True):
    """A run, or one of its variations, is in another state."""

    state: State
    code: str = ""
    detail: str = ""
    commit: str = ""
    exit: int | None = None
    seconds: float | None = None
    patch_bytes: int | None = None
    usage: Totals | None = None
    """What the variation's model calls took; None where it asked no provider."""


def state_changed(ending: Ending) -> StateChanged:
    return StateChanged(
        state=ending.state,
        code=ending.code,
        detail=ending.detail,
        exit=ending.exit,
        seconds=ending.seconds,
        patch_bytes=None if ending.patch is None else len(ending.patch),
        usage=rounded(ending.usage),
    )


class Entry(Struct, frozen=True, kw_only=True):
    """What is about to be numbered and become a frame."""

    name: FrameName
    variation_id: int | None
    """None for what concerns the whole run."""
    event: events.Event | StateChanged
    time: datetime


class _Data(Struct, frozen=True, kw_only=True):
    run_id: UUID
    seq: int
    variation_id: int | None
    type: str
    content: str
    timestamp: datetime
    event: Any


class Frame(Struct, frozen=True):
    """A frame of the log as it was encoded; `data` is JSON, on one line."""

    name: FrameName
    data: bytes


class _UsageData(Struct, frozen=True):
    event: events.Usage


HEARTBEAT = b"event: heartbeat\ndata: {}\n\n"

_encoder = msgspec.json.Encoder()
_arguments = msgspec.json.Decoder(dict[str, Any])
_usage = msgspec.json.Decoder(_UsageData)
_USAGE = b'"type":"usage"'
"""No text can forge it: its quotation marks would be escaped."""
_ID = re.compile(r"[0-9]{1,18}-([0-9]{1,18})")


def now() -> datetime:
    return datetime.now(UTC)


def encode(run_id: UUID, fence: int, seq: int, entry: Entry) -> bytes:
    """Encode one frame. JSON has no raw line break, so output cannot end a frame or forge an id."""
    data = _Data(
        run_id=run_id,
        seq=seq,
        variation_id=entry.variation_id,
        type=str(entry.event.__struct_config__.tag),
        content=content(entry.event),
        timestamp=entry.time,
        event=entry.event,
    )
    return b"id: %d-%d\nevent: %b\ndata: %b\n\n" % (fence, seq, entry.name.encode(), _encoder.encode(data))


def decode(encoded: bytes) -> Iterator[Frame]:
    """Take encoded frames apart; signs of life are among them."""
    for frame in encoded.split(b"\n\n")[:-1]:
        head, _, data = frame.partition(b"\ndata: ")
        yield Frame(FrameName(head.rpartition(b"event: ")[2].decode()), data)


def gateway_usage(encoded: bytes) -> Iterator[events.Usage]:
    """Yield what the gateway told of calls, out of encoded frames."""
    for frame in encoded.split(b"\n\n"):
        head, _, data = frame.partition(b"\ndata: ")
        if head.endswith(b" " + FrameName.RUN_OUTPUT.encode()) and _USAGE in data:
            yield _usage.decode(data).event


def seq_of(last_event_id: str) -> int | None:
    """The number in an id that a viewer saw last; None for what was never an id of ours."""
    match = _ID.fullmatch(last_event_id)
    return int(match[1]) if match else None


def content(event: events.Event | StateChanged) -> str:  # noqa: C901, PLR0911 -- a table: one line a kind
    """What a person reads of an event; output comes as it is, with U+FFFD for what is no UTF-8."""
    match event:
        case events.Output(data=data) if data:
            return data.decode(errors="replace")
        case events.Output(text=text) | events.Said(text=text) | events.ToolReturned(text=text):
            return text
        case events.ToolCalled(tool=tool, text=text):
            return f"{tool} {_gist(text)}"
        case events.Started(agent=agent, model=model):
            return f"{agent} started" + (f" with {model}" if model else "")
        case events.Usage():
            return _whose(event.variation) + _call(event)
        case events.CallFailed(code=code, reason=reason):
            return f"{_whose(event.variation)}{code}: {reason}"
        case events.Waiting(reason=reason, for_s=for_s):
            return f"waiting {for_s:.0f} s: {reason}"
        case events.Truncated(withheld_bytes=withheld):
            return f"{withheld} bytes of output withheld"
        case events.Finished(outcome=outcome, reason=reason):
            return f"{outcome}: {reason}" if reason else str(outcome)
        case StateChanged(state=state, detail=detail):
            return f"{state}: {detail}" if detail else str(state)


def _whose(variation: int | None) -> str:
    """What the gateway tells stands in no variation's output."""
    return "" if variation is None else f"variation {variation}: "


def _call(event: events.Usage) -> str:
    cost = "" if event.cost_usd is None else f", ${event.cost_usd:.4f}"
    return f"{event.model}: {event.input_tokens} tokens in, {event.output_tokens} out{cost}"


def _gist(arguments: str) -> str:
    """What a call is about: its first argument, such as the command or the path; of a part, the text as it is."""
    try:
        decoded = _arguments.decode(arguments)
    except msgspec.DecodeError:
        return arguments
    return str(next(iter(decoded.values()), ""))
