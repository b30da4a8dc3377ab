from hypothesis import given
from hypothesis import strategies as st

from agent_image.events import LINE_LIMIT, Output, decode_line, encode_line
from agent_image.lines import Flush, LineSplitter, Piece

PRINTED = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=200).map(str.encode),
    st.sampled_from([b"\n", b"\r\n", b"\0", b"\x1b[31m", "é".encode(), b"\xc3", b"\xff", "😀".encode()[:3]]),
    st.tuples(st.sampled_from([b"a", "é".encode(), b"\0", b"\xfe", "😀".encode()]), st.integers(1, 9_000)).map(
        lambda pair: pair[0] * pair[1]
    ),
)


def split(chunks: list[bytes], idle_after: frozenset[int] = frozenset()) -> list[Piece]:
    splitter = LineSplitter()
    pieces: list[Piece] = []
    for index, chunk in enumerate(chunks):
        splitter.push(chunk)
        pieces += iter(splitter.take, None)
        if index in idle_after:
            pieces += iter(lambda: splitter.take(Flush.IDLE), None)
    pieces += iter(lambda: splitter.take(Flush.END), None)
    assert not splitter.is_waiting
    return pieces


@given(st.lists(PRINTED, max_size=12), st.frozensets(st.integers(0, 12)))
def test_any_bytes_cut_anywhere_come_out_of_the_protocol_as_they_were(chunks: list[bytes], idle_after: frozenset[int]):
    lines = [
        encode_line(
            Output(n=10**9, at=123456.789012, text=piece.text, data=piece.data, part=piece.part, more=piece.more)
        )
        for piece in split(chunks, idle_after)
    ]
    events = [decode_line(line) for line in lines]
    assert all(len(line) <= LINE_LIMIT for line in lines)
    assert b"".join(event.data or event.text.encode() for event in events if isinstance(event, Output)) == b"".join(
        chunks
    )


@given(st.lists(PRINTED, max_size=12), st.frozensets(st.integers(0, 12)))
def test_parts_are_counted_from_0_and_the_last_says_so(chunks: list[bytes], idle_after: frozenset[int]):
    pieces = split(chunks, idle_after)
    expected = 0
    for piece in pieces:
        assert piece.part == expected
        assert piece.size == len(piece.printed) > 0
        expected = piece.part + 1 if piece.more else 0
    assert expected == 0


@given(st.text(max_size=500), st.integers(1, 7), st.frozensets(st.integers(0, 100)))
def test_text_is_text_wherever_its_characters_are_cut(text: str, size: int, idle_after: frozenset[int]):
    printed = text.encode()
    chunks = [printed[start : start + size] for start in range(0, len(printed), size)]
    assert all(piece.data == b"" for piece in split(chunks, idle_after))


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=50), max_size=20))
def test_a_line_is_one_piece_with_its_newline(lines: list[str]):
    printed = "".join(f"{line}\n" for line in lines)
    assert [piece.text for piece in split([printed.encode()])] == [f"{line}\n" for line in lines]


def test_bytes_that_are_no_text_spoil_their_own_line_only():
    pieces = split([b"good\nb\xffd\ngood again\n"])
    assert [(piece.text, piece.data) for piece in pieces] == [("good\n", b""), ("", b"b\xffd\n"), ("good again\n", b"")]


def test_a_long_line_is_cut_into_few_parts():
    pieces = split([("é" * 100_000).encode()])
    assert len(pieces) < 100_000 * 6 / 15_000
    assert not any(piece.data for piece in pieces)
