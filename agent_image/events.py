"""The line protocol between a container and whoever watches it: one JSON event a line.

The only definition of it, shared with the service. A line is ASCII, at most `LINE_LIMIT` bytes with its newline,
and numbered by its producer, densely from 1, so that a reader knows when one is missing.
"""

import json
from datetime import datetime
from enum import StrEnum
from typing import Literal

import msgspec

LINE_LIMIT = 16 * 1024
"""Bytes of one encoded line, newline included; a longer text comes as several events, its parts."""


class Outcome(StrEnum):
    """How a harness ended; each has its exit status in `EXIT_STATUS`."""

    SUBMITTED = "submitted"
    GAVE_UP = "gave_up"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"


# None lies in 128 to 191: there Dagger takes an exit for a death by signal, and the container's files are lost.
EXIT_STATUS = {Outcome.SUBMITTED: 0, Outcome.GAVE_UP: 3, Outcome.CRASHED: 70, Outcome.TIMED_OUT: 124}


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """Base of all events; the wire field `kind` names the subclass."""

    n: int
    """The producer's number of this event, dense from 1; 0 for a line that was no event."""
    at: float
    """Seconds since the harness started, by a monotonic clock."""


class _Text(_Event, frozen=True, kw_only=True):
    """An event whose text may be longer than a line."""

    text: str = ""
    part: int = 0
    """Which piece of the text this is, from 0."""
    more: bool = False
    """True if the next piece of the same text follows."""


class Started(_Event, frozen=True, kw_only=True, tag="started"):
    """The first event: the harness runs."""

    agent: str
    model: str = ""


class Said(_Text, frozen=True, kw_only=True, tag="said"):
    """The agent, or its model, spoke; while it speaks, the text comes in parts."""

    thought: bool = False
    """True for what a model thinks before it answers."""


class ToolCalled(_Text, frozen=True, kw_only=True, tag="tool_called"):
    """The model asked for a tool; `text` is the arguments as JSON."""

    call: str
    """Pairs the call with its `tool_returned`; unique within a variation."""
    tool: str


class ToolReturned(_Text, frozen=True, kw_only=True, tag="tool_returned"):
    """The tool's answer, as the model sees it."""

    call: str
    ok: bool


class Output(_Text, frozen=True, kw_only=True, tag="output"):
    """One line that a command printed, its newline included if it had one.

    Bytes that are not UTF-8 come in `data` (base64 on the wire), and `text` is then empty.
    """

    stream: Literal["stdout", "stderr"] = "stdout"
    data: bytes = b""


class Usage(_Event, frozen=True, kw_only=True, tag="usage"):
    """What one model call took.

    The gateway's are what counts, by the provider's own figures; an agent's are what it says of itself, and may sum up
    several calls.
    """

    model: str
    provider: str = ""
    variation: int | None = None
    """Whose call it was; set by the gateway alone."""
    input_tokens: int = 0
    """Those that no cache had."""
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float | None = None
    """None where the price is unknown."""


class CallFailed(_Event, frozen=True, kw_only=True, tag="call_failed"):
    """A model call came to nothing, for good: the gateway will not try it again."""

    variation: int
    code: str
    """One of `llm.*`."""
    reason: str
    model: str = ""
    provider: str = ""


class Waiting(_Event, frozen=True, kw_only=True, tag="waiting"):
    """Nothing happens for a reason, such as a provider that asked for patience."""

    reason: str
    for_s: float
    until: datetime | None = None
    """When it ends, where that is known."""
    provider: str = ""


class Truncated(_Event, frozen=True, kw_only=True, tag="truncated"):
    """Output is being withheld; at most one a second and one at a command's end."""

    withheld_bytes: int
    """Bytes of this command's output withheld so far."""


class Finished(_Event, frozen=True, kw_only=True, tag="finished"):
    """The last event of every producer, whatever happened before it."""

    outcome: Outcome
    exit: int
    """The harness's exit status."""
    seconds: float
    reason: str = ""
    """What a person needs to understand the outcome; empty for `submitted`."""
    code: str = ""
    """The same for programs, where there is more to say than the outcome: `llm.protocol`, for one."""


Event = Started | Said | ToolCalled | ToolReturned | Output | Usage | CallFailed | Waiting | Truncated | Finished

_decoder = msgspec.json.Decoder(Event)
_encoder = json.JSONEncoder(separators=(",", ":"))


def encode_line(event: Event) -> bytes:
    r"""Encode an event as one line of ASCII with its newline; `decode_line` reads back what was encoded.

    Everything above ASCII is written as `\uXXXX`: a transport that cuts a line in the middle of a character cannot
    break it, and Dagger's log drops records that are not valid UTF-8. A lone surrogate, which no UTF-8 has, becomes
    U+FFFD.
    """
    fields = msgspec.to_builtins(event)
    line = _encoder.encode(fields)
    if "\\ud" in line:
        line = _encoder.encode({name: _without_surrogates(value) for name, value in fields.items()})
    return line.encode() + b"\n"


def decode_line(line: bytes, *, at: float = 0.0) -> Event:
    """Decode one line of a container's stdout; the newline may be there or not.

    A line that is no event (the interpreter's last words, say) becomes `output` with number 0, so that noise is shown
    and never ends a run.
    """
    try:
        return _decoder.decode(line)
    # Bad UTF-8 within a string is not a DecodeError of msgspec's, nor are a thousand nested brackets.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return Output(n=0, at=at, text=line.decode())
    except UnicodeDecodeError:
        return Output(n=0, at=at, data=line)


def _without_surrogates(value: object) -> object:
    if not isinstance(value, str):
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
