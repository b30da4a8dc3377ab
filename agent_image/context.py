"""A conversation kept short enough for a model: what old tools answered loses its middle."""

import msgspec

from agent_image.model import Conversation, Message, Told, ToolAnswer, Turn

ROOM = 400_000
"""Characters of a conversation, at most, where shortening can do it: some 100 000 tokens."""

_RECENT = 8
"""Messages at the end that stay whole, however long."""
_SIDE = 200
"""Characters that are kept of an answer's beginning, and of its end."""
_LONG = 4 * _SIDE
"""An answer up to this is not worth shortening."""


def shortened(conversation: Conversation, room: int = ROOM) -> Conversation:
    """Return the conversation with the oldest tool answers shortened, if it takes more than `room` characters.

    Half the room is made free at once, and a conversation that has grown is shortened where it was before: what
    comes first stays the same from call to call, so that a provider finds it in its cache.
    """
    size = done = 0
    for index, message in enumerate(conversation):
        size += _size(message)
        if size <= room:
            continue
        while size > room // 2 and done <= index - _RECENT:
            size -= _size(conversation[done]) - _size(_short(conversation[done]))
            done += 1
    return [*map(_short, conversation[:done]), *conversation[done:]]


def _size(message: Message) -> int:
    match message:
        case Told(text=text) | ToolAnswer(text=text):
            return len(text)
        case Turn(said=said, calls=calls, raw=raw):
            return len(msgspec.json.encode(raw or (said, calls)))


def _short(message: Message) -> Message:
    if not isinstance(message, ToolAnswer) or len(message.text) <= _LONG:
        return message
    text = message.text
    note = f"[… {len(text) - 2 * _SIDE} characters left out to save room; call the tool again if you need them …]"
    text = f"{text[:_SIDE]}\n{note}\n{text[-_SIDE:]}"
    return ToolAnswer(call=message.call, ok=message.ok, text=text, submits=message.submits)
