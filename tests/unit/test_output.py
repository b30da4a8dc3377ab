import os
import tempfile

from hypothesis import given
from hypothesis import strategies as st

from agent_image.emitter import Emitter
from agent_image.events import Event, Output, Truncated, decode_line
from agent_image.excerpt import LONGEST, Excerpt, shortened
from agent_image.output import Budget, CommandOutput, Limits
from agent_image.tail import Stream

Fed = list[tuple[Stream, bytes]]
FED = st.lists(
    st.tuples(
        st.sampled_from(["stdout", "stderr"]),
        st.one_of(
            st.binary(max_size=40),
            st.tuples(st.sampled_from([b"y\n", b"x", "é".encode(), b"\xff", b"\n"]), st.integers(1, 3000)).map(
                lambda pair: pair[0] * pair[1]
            ),
        ),
    ),
    max_size=15,
)
SMALL = Limits(live=3000, tail=2000, total=8000, per_line=20, notice_s=0.0)


def emitted(commands: list[Fed], limits: Limits) -> list[list[Event]]:
    """Return the events of each command, one after another with one budget."""
    budget = Budget(limits)
    events: list[list[Event]] = []
    with tempfile.TemporaryFile() as log:
        emitter = Emitter(log.fileno())
        for fed in commands:
            start = os.lseek(log.fileno(), 0, os.SEEK_CUR)
            output = CommandOutput(emitter, budget)
            for stream, chunk in fed:
                output.feed(stream, chunk)
            output.close()
            size = os.lseek(log.fileno(), 0, os.SEEK_CUR) - start
            events.append([decode_line(line) for line in os.pread(log.fileno(), size, start).splitlines()])
    return events


def shown(events: list[Event], stream: Stream) -> bytes:
    return b"".join(
        event.data or event.text.encode() for event in events if isinstance(event, Output) and event.stream == stream
    )


def lost(events: list[Event]) -> int:
    return next((event.withheld_bytes for event in reversed(events) if isinstance(event, Truncated)), 0)


@given(FED)
def test_what_is_shown_and_what_is_lost_is_what_was_printed(fed: Fed):
    (events,) = emitted([fed], SMALL)
    total = sum(len(chunk) for _, chunk in fed)
    assert len(shown(events, "stdout")) + len(shown(events, "stderr")) + lost(events) == total


@given(FED)
def test_what_is_shown_is_the_beginning_and_the_end(fed: Fed):
    (events,) = emitted([fed], SMALL)
    last_notice = max((index for index, event in enumerate(events) if isinstance(event, Truncated)), default=0)
    streams: tuple[Stream, Stream] = ("stdout", "stderr")
    for stream in streams:
        printed = b"".join(chunk for name, chunk in fed if name == stream)
        assert printed.startswith(shown(events[:last_notice], stream))
        assert printed.endswith(shown(events[last_notice:], stream))


@given(st.lists(FED, max_size=4))
def test_all_commands_together_keep_to_the_total(commands: list[Fed]):
    size = lines = 0
    for events in emitted(commands, SMALL):
        outputs = [event for event in events if isinstance(event, Output)]
        size += len(shown(events, "stdout")) + len(shown(events, "stderr"))
        lines += sum(event.part == 0 for event in outputs)
    assert size + lines * SMALL.per_line <= SMALL.total + SMALL.per_line * len(commands)


@given(FED)
def test_nothing_is_withheld_within_the_limits(fed: Fed):
    (events,) = emitted([fed], Limits())
    assert all(isinstance(event, Output) for event in events)


def test_the_end_is_kept_up_to_its_limit():
    (events,) = emitted([[("stdout", b"line\n" * 10_000)]], SMALL)
    tail = events[[isinstance(event, Truncated) for event in events].index(True) + 1 :]
    assert len(tail) in range(2000 // 25 - 1, 2000 // 25 + 1)


def test_empty_lines_count_for_more_than_their_bytes():
    (events,) = emitted([[("stdout", b"\n" * 100_000)]], SMALL)
    assert len(events) < 300


def test_a_model_sees_the_beginning_and_the_end():
    excerpt = Excerpt()
    excerpt.feed(b"first " + b"x" * 50_000)
    for _ in range(1000):
        excerpt.feed("é".encode() * 500)
    excerpt.feed(b" last")
    assert str(excerpt).startswith("first x")
    assert str(excerpt).endswith("é last")
    assert len(str(excerpt)) <= LONGEST


def test_what_a_model_sees_is_whole_if_it_is_short():
    excerpt = Excerpt()
    excerpt.feed(b"a\n")
    excerpt.feed(b"b\xff\n")
    assert str(excerpt) == "a\nb\ufffd\n"
    assert shortened("x" * LONGEST) == "x" * LONGEST
    assert len(shortened("x" * LONGEST * 2)) <= LONGEST
