"""What is read in answers as they go by, however they are cut and whoever wrote them; and what it costs."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_image.gateway.meter import Meter
from agent_image.gateway.plan import LongRates, Price, Wire
from agent_image.gateway.prices import PriceList, Tokens, cost, most
from agent_image.gateway.request import read_request
from agent_image.gateway.sse import EventSplitter, events

MESSAGES = (
    b'event: message_start\ndata: {"type": "message_start", "message": {"usage": {"input_tokens": 9, '
    b'"cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 1}}}\n\n'
    b'event: content_block_delta\ndata: {"type": "content_block_delta", "delta": {"text": "a message_stop"}}\n\n'
    b": a comment\n\n"
    b'event: message_delta\ndata: {"type": "message_delta", "usage": {"output_tokens": 7}}\n\n'
    b'data: {"type":\ndata: "message_stop"}\n\n'
)
CHAT = (
    b'data: {"choices": [{"delta": {"content": "hi"}}], "usage": null}\n\n'
    b'data: {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 7, '
    b'"prompt_tokens_details": {"cached_tokens": 3}}}\n\n'
    b"data: [DONE]\n\n"
)
RESPONSES = (
    b'event: response.created\ndata: {"type": "response.created", "response": {"error": null, "usage": null}}\n\n'
    b'event: response.completed\ndata: {"type": "response.completed", "response": {"usage": {"input_tokens": 14, '
    b'"output_tokens": 7, "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2}}}}\n\n'
)
STREAMS: dict[Wire, tuple[bytes, Tokens]] = {
    "messages": (MESSAGES, Tokens(input=9, output=7, cache_read=3, cache_write=2)),
    "chat": (CHAT, Tokens(input=9, output=7, cache_read=3)),
    "responses": (RESPONSES, Tokens(input=9, output=7, cache_read=3, cache_write=2)),
}
WIRES = list(STREAMS)


def read(wire: Wire, chunks: list[bytes], *, hides_usage: bool = False) -> tuple[Meter, bytes]:
    """Read a stream, and return what of it goes on."""
    meter, splitter = Meter(wire, hides_usage=hides_usage), EventSplitter()
    passed_on = [meter.read(splitter.feed(chunk)) for chunk in chunks]
    return meter, b"".join([*passed_on, meter.read(splitter.rest())])


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % len(stream) for place in places} | {0, len(stream)})
    return [stream[start:end] for start, end in pairwise(ends)]


@given(st.sampled_from(WIRES), st.lists(st.integers(min_value=0)), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_a_stream_may_be_cut_anywhere_and_end_its_lines_in_any_way(wire: Wire, places: list[int], newline: bytes):
    stream, tokens = STREAMS[wire]
    stream = stream.replace(b"\n", newline)
    meter, passed_on = read(wire, cut(stream, places))
    assert passed_on == stream
    assert (meter.tokens, meter.has_ended, meter.failure) == (tokens, True, "")


@given(st.lists(st.integers(min_value=0)), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_hidden_usage_is_hidden_wherever_a_stream_is_cut(places: list[int], newline: bytes):
    stream = CHAT.replace(b"\n", newline)
    meter, passed_on = read("chat", cut(stream, places), hides_usage=True)
    assert meter.tokens == STREAMS["chat"][1]
    assert b'"choices": []' not in passed_on
    assert passed_on.strip().endswith(b"[DONE]")


@given(st.lists(st.binary(max_size=20)))
def test_whatever_comes_goes_on_as_it_came(chunks: list[bytes]):
    splitter = EventSplitter()
    passed_on = [splitter.feed(chunk) for chunk in chunks]
    assert b"".join([*passed_on, splitter.rest()]) == b"".join(chunks)
    assert b"".join(event.raw for event in events(b"".join(chunks))) == b"".join(chunks)


@pytest.mark.parametrize("wire", WIRES)
def test_an_event_is_passed_on_once_it_is_whole(wire: Wire):
    stream, _ = STREAMS[wire]
    splitter = EventSplitter()
    for byte in stream[:-1]:
        assert not splitter.feed(bytes([byte])).strip() or byte == ord("\n")
    assert splitter.feed(stream[-1:]).endswith(b"\n\n")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("at", range(1, 40))
def test_a_stream_without_its_last_bytes_has_not_ended(wire: Wire, at: int):
    stream, _ = STREAMS[wire]
    meter, _ = read(wire, [stream[:-at]])
    is_last_event_whole = at <= len(b"\n\n")
    assert meter.has_ended == is_last_event_whole


@pytest.mark.parametrize(
    ("wire", "event"),
    [
        ("messages", b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"}}\n\n'),
        ("chat", b'data: {"error": {"message": "overloaded_error"}}\n\n'),
        ("chat", b'data: {"error": "overloaded_error"}\n\n'),
        ("responses", b'event: error\ndata: {"type": "error", "message": "overloaded_error"}\n\n'),
        ("responses", b'data: {"type": "response.failed", "response": {"error": {"code": "overloaded_error"}}}\n\n'),
    ],
)
def test_an_error_is_the_end_of_a_stream(wire: Wire, event: bytes):
    meter, passed_on = read(wire, [event])
    assert passed_on == event
    assert meter.has_ended
    assert "overloaded_error" in meter.failure


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        ("messages", b'{"type": "message", "content": [], "usage": {"input_tokens": 9, "output_tokens": 7}}'),
        ("chat", b'{"choices": [{}], "usage": {"prompt_tokens": 9, "completion_tokens": 7}}'),
        ("chat", b'{"choices": [{}], "usage": {"prompt_tokens": 9.0, "completion_tokens": 7, "cost": 0.1}}'),
        ("responses", b'{"error": null, "usage": {"input_tokens": 9, "output_tokens": 7}}'),
        ("responses", b'{"message": 1, "response": [], "usage": {"input_tokens": 9, "output_tokens": 7}}'),
    ],
)
def test_an_answer_that_is_no_stream_has_its_usage_too(wire: Wire, body: bytes):
    meter = Meter(wire)
    meter.read_whole(body)
    assert (meter.tokens, meter.failure) == (Tokens(input=9, output=7), "")


def test_a_figure_that_makes_no_sense_spoils_no_other():
    meter = Meter("messages")
    odd = b'"cache_read_input_tokens": "x", "input_tokens_details": 7, "cache_creation_input_tokens": 1e300'
    meter.read_whole(b'{"type": 5, "usage": {"input_tokens": 9.0, "output_tokens": 7, %b}}' % odd)
    assert meter.tokens == Tokens(input=9, output=7)


def test_where_no_figures_came_the_sizes_count():
    request = read_request(b'{"model": "m", "max_tokens": 500}', wire="chat", path="", query=b"", headers=[])
    meter = Meter("chat")
    assert meter.charge(request, size=400, was_left=False) == Tokens(input=len(request.body) // 4, output=100)
    assert meter.charge(request, size=400, was_left=True).output == 500
    meter.read_whole(b'{"usage": {"prompt_tokens": 3, "completion_tokens": 2}}')
    assert meter.charge(request, size=400, was_left=True) == Tokens(input=3, output=2)


def test_a_kind_of_token_without_a_price_counts_at_the_highest_rate():
    price = Price(input=2.0, output=10.0)
    assert most(price, Tokens(input=1_000_000, cache_read=200_000)) == pytest.approx(4.0)
    assert most(None, Tokens(input=1)) == 0


@pytest.mark.parametrize("usage", [b"null", b"{}", b'{"input_tokens": -5, "output_tokens": null}', b'"many"', b"[1"])
def test_usage_that_makes_no_sense_is_none(usage: bytes):
    meter = Meter("messages")
    meter.read_whole(b'{"usage": %b}' % usage)
    assert (meter.tokens or Tokens()) == Tokens()


def test_a_later_figure_that_is_less_takes_nothing_back():
    start = b'data: {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}\n\n'
    delta = b'data: {"type": "message_delta", "usage": {"input_tokens": 0, "output_tokens": 7}}\n\n'
    meter, _ = read("messages", [start, delta])
    assert meter.tokens == Tokens(input=9, output=7)


def test_a_cost_is_known_if_every_kind_of_token_that_was_used_has_a_price():
    price = Price(input=2.0, output=10.0, cache_read=0.5)
    assert cost(price, Tokens(input=1_000_000, output=100_000, cache_read=200_000)) == pytest.approx(3.1)
    assert cost(price, Tokens(cache_write=1)) is None
    assert cost(None, Tokens()) is None


def test_a_long_prompt_has_its_own_price_for_the_whole_call():
    price = Price(input=1.0, output=10.0, cache_read=0.5, long=LongRates(above=100, input=2.0, output=20.0))
    assert cost(price, Tokens(input=60, cache_read=40, output=5)) == pytest.approx((60 + 20 + 50) / 1_000_000)
    assert cost(price, Tokens(input=101, output=5)) == pytest.approx((202 + 100) / 1_000_000)
    assert cost(price, Tokens(input=60, cache_read=41, output=5)) is None, "of what the cache had, nobody knows"


PRICES = b"""{"taken": "2026-11-01", "source": "a list", "models": {
    "claude-one": {"input": 1, "output": 2}, "claude-one-20250929": {"input": 3, "output": 4}
}}"""


@pytest.mark.parametrize(
    ("model", "input_price"),
    [
        ("claude-one", 1),
        ("claude-one-20250929", 3),
        ("claude-one-20261111", 1),
        ("claude-one-2026-11-11", 1),
        ("claude-one@20261111", 1),
        ("anthropic/claude-one", 1),
        ("router/anthropic/claude-one-20250929", 3),
        ("anthropic/claude-one-20261111", 1),
        ("claude-one-1", None),
        ("claude", None),
        ("", None),
    ],
)
def test_a_price_is_found_by_name_without_a_date_or_a_provider(tmp_path: Path, model: str, input_price: float | None):
    (tmp_path / "prices.json").write_bytes(PRICES)
    price = PriceList.load(tmp_path / "prices.json").price(model)
    assert (price and price.input) == input_price


def test_a_list_is_bundled():
    prices = PriceList.load()
    assert prices.price("claude-sonnet-4-5")
    assert prices.source


@pytest.mark.parametrize("text", ["", "[]", '{"taken": "yesterday", "source": "", "models": {}}', "\\"])
def test_a_file_that_is_no_list_of_prices_is_said_to_be_none(tmp_path: Path, text: str):
    (tmp_path / "prices.json").write_text(text)
    with pytest.raises(ValueError, match=r"Expected|Invalid|truncated|malformed"):
        PriceList.load(tmp_path / "prices.json")
    with pytest.raises(FileNotFoundError):
        PriceList.load(tmp_path / "elsewhere.json")
