"""Texts longer than a line of the protocol, cut into parts that fit."""

import json
from collections.abc import Iterator
from typing import NamedTuple

_LONGEST_CHARACTER = len(r"\ud83d\ude00")


class Part(NamedTuple):
    text: str
    part: int
    more: bool


def parts(text: str, room: int) -> Iterator[Part]:
    """Cut `text` into parts whose JSON takes at most `room` bytes each, at least 12; an empty text is one part."""
    start = number = 0
    more = True
    while more:
        piece = beginning(text[start : start + room], room)
        start += len(piece)
        more = start < len(text)
        yield Part(piece, number, more)
        number += 1


def beginning(text: str, room: int) -> str:
    """Return a long beginning of `text` whose JSON takes at most `room` bytes, or `text` itself if it fits."""
    if len(text) * _LONGEST_CHARACTER <= room:
        return text
    while (size := len(json.dumps(text)) - 2) > room:
        text = text[: len(text) * room // size]
    return text
