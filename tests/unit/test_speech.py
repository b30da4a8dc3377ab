from pathlib import Path

import anyio

from agent_image.emitter import Emitter
from agent_image.events import LINE_LIMIT, Said, decode_line
from agent_image.speech import Speech


class Listener:
    """A speech, and what was heard of it so far."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._file = log.open("wb")
        self.speech = Speech(Emitter(self._file.fileno()))

    @property
    def lines(self) -> list[bytes]:
        return self._log.read_bytes().splitlines(keepends=True)

    @property
    def heard(self) -> list[Said]:
        return [event for line in self.lines if isinstance(event := decode_line(line), Said)]

    async def until_heard(self, text: str) -> None:
        with anyio.fail_after(20):
            while "".join(said.text for said in self.heard) != text:  # noqa: ASYNC110 a file tells nobody
                await anyio.sleep(0.01)

    def close(self) -> None:
        self.speech.close()
        self._file.close()


def utterances(heard: list[Said]) -> list[tuple[bool, str]]:
    """The texts, joined; their parts are numbered from 0 and only the last says that no more follows."""
    joined: list[tuple[bool, str]] = []
    part, text = 0, ""
    for said in heard:
        assert said.part == part
        text += said.text
        part += 1
        if not said.more:
            joined.append((said.thought, text))
            part, text = 0, ""
    assert part == 0
    return joined


async def test_pieces_that_come_together_are_one_event(tmp_path: Path):
    listener = Listener(tmp_path / "log")
    for word in ("I ", "shall ", "look ", "around."):
        listener.speech.text(word)
    listener.close()
    assert [(said.text, said.more) for said in listener.heard] == [("I shall look around.", False)]


async def test_a_line_is_heard_at_its_end(tmp_path: Path):
    listener = Listener(tmp_path / "log")
    listener.speech.text("First")
    assert listener.heard == []
    listener.speech.text(" line.\nSecond")
    assert [said.text for said in listener.heard] == ["First line.\nSecond"]
    listener.close()
    assert utterances(listener.heard) == [(False, "First line.\nSecond")]


async def test_a_long_text_is_heard_before_its_line_ends(tmp_path: Path):
    listener = Listener(tmp_path / "log")
    for _ in range(3000):
        listener.speech.text("x")
    assert len(listener.heard) == 2
    listener.close()
    assert utterances(listener.heard) == [(False, "x" * 3000)]


async def test_a_piece_is_heard_though_nothing_follows(tmp_path: Path):
    listener = Listener(tmp_path / "log")
    listener.speech.text("I think")
    await listener.until_heard("I think")
    listener.speech.text(" so")
    await listener.until_heard("I think so")
    listener.close()
    assert utterances(listener.heard) == [(False, "I think so")]


async def test_thoughts_and_text_are_told_apart(tmp_path: Path):
    listener = Listener(tmp_path / "log")
    for thought, text in (("Hm.", ""), ("", "Yes."), ("\nNo?\n", "No.")):
        listener.speech.thought(thought)
        listener.speech.text(text)
    listener.close()
    assert utterances(listener.heard) == [(True, "Hm."), (False, "Yes."), (True, "\nNo?\n"), (False, "No.")]


async def test_nothing_said_is_no_event(tmp_path: Path):
    listener = Listener(tmp_path / "log")
    listener.speech.text("")
    listener.speech.thought("")
    listener.close()
    assert listener.lines == []


async def test_one_huge_piece_comes_in_parts_that_fit(tmp_path: Path):
    listener = Listener(tmp_path / "log")
    listener.speech.text("😀\0" * 20_000)
    listener.speech.text("the end")
    listener.close()
    assert max(map(len, listener.lines)) <= LINE_LIMIT
    assert utterances(listener.heard) == [(False, "😀\0" * 20_000 + "the end")]
