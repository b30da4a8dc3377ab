import json
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_image.emitter import Emitter
from agent_image.events import (
    EXIT_STATUS,
    LINE_LIMIT,
    Finished,
    Outcome,
    Output,
    Said,
    ToolCalled,
    Usage,
    decode_line,
    encode_line,
)
from agent_image.parts import parts

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


@given(st.text(), st.binary(), st.integers(0, 2**53))
def test_what_is_encoded_is_decoded_as_it_was(text: str, data: bytes, number: int):
    event = Output(n=number, at=1.5, text=text, data=data, stream="stderr", part=3, more=True)
    assert decode_line(encode_line(event)) == event


@given(ANY_TEXT)
def test_a_line_is_one_line_of_ascii_and_an_event_whatever_the_text(text: str):
    line = encode_line(Said(n=1, at=0.0, text=text))
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert isinstance(decode_line(line), Said)


def test_a_lone_surrogate_becomes_the_replacement_character():
    event = decode_line(encode_line(Said(n=1, at=0.0, text="a\ud800b\\ud800 😀")))
    assert event == Said(n=1, at=0.0, text="a\ufffdb\\ud800 😀")


@given(st.binary())
def test_any_line_can_be_decoded(line: bytes):
    decode_line(line)


@pytest.mark.parametrize(
    "line",
    [
        b"Traceback (most recent call last):",
        b"",
        b"null",
        b"[]",
        b'{"kind":"said"}',
        b'{"kind":"said","n":1,"at":0,"text":"\xff"}',
        b'{"kind":"said","n":1,"at":0,"text":"\\ud800"}',
        b'{"kind":"unheard_of","n":1,"at":0}',
        b'{"kind":"said","n":1,"at":0,"x":' + b"[" * 100_000,
        b"[" * 100_000,
    ],
)
def test_a_line_that_is_no_event_is_shown_as_output(line: bytes):
    event = decode_line(line, at=7.0)
    assert isinstance(event, Output)
    assert (event.n, event.at) == (0, 7.0)
    assert event.data or event.text.encode() == line


def test_an_event_may_have_fields_of_a_later_version():
    line = b'{"kind":"said","n":1,"at":0.5,"text":"hi","mood":"good"}\n'
    assert decode_line(line) == Said(n=1, at=0.5, text="hi")


def test_the_wire_is_as_other_programs_know_it():
    event = Finished(n=9, at=2.0, outcome=Outcome.GAVE_UP, exit=3, seconds=2.0, reason="é")
    assert encode_line(event) == (
        b'{"kind":"finished","n":9,"at":2.0,"outcome":"gave_up","exit":3,"seconds":2.0,"reason":"\\u00e9"}\n'
    )
    assert json.loads(encode_line(Output(n=1, at=0.0, data=b"\xff")))["data"] == "/w=="


def test_no_exit_status_is_taken_for_death_by_signal():
    assert set(EXIT_STATUS) == set(Outcome)
    assert not any(128 <= status <= 191 for status in EXIT_STATUS.values())


@given(ANY_TEXT, st.integers(12, 60))
def test_parts_fit_and_make_up_the_text(text: str, room: int):
    pieces = list(parts(text, room))
    assert "".join(piece.text for piece in pieces) == text
    assert all(len(json.dumps(piece.text)) - 2 <= room for piece in pieces)
    assert [piece.part for piece in pieces] == list(range(len(pieces)))
    assert [piece.more for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert all(piece.text for piece in pieces) or not text


@pytest.mark.parametrize("text", ["", "a" * 100_000, "é" * 100_000, "😀" * 50_000, "\0\n" * 50_000, '"\\' * 50_000])
def test_a_long_text_comes_in_lines_that_fit(tmp_path: Path, text: str):
    with (tmp_path / "log").open("wb") as log:
        emitter = Emitter(log.fileno())
        emitter.emit_text(partial(ToolCalled, call="😀" * 100, tool="😀" * 100), text)
        emitter.emit(partial(Usage, model="m"))
    lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
    events = [decode_line(line) for line in lines]
    called = [event for event in events if isinstance(event, ToolCalled)]
    assert "".join(event.text for event in called) == text
    assert [event.n for event in events] == list(range(1, len(events) + 1))
    assert max(map(len, lines)) <= LINE_LIMIT
    assert len(lines) <= len(json.dumps(text)) // 8_000 + 2


def test_an_event_cannot_be_changed():
    with pytest.raises(AttributeError):
        setattr(Said(n=1, at=0.0), "text", "other")  # noqa: B010 pyright knows that it is frozen
