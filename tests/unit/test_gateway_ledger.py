"""What the gateway has told can be read again, but for the oldest of very much."""

import os
from functools import partial

import anyio

from agent_image.emitter import Emitter
from agent_image.events import CallFailed, decode_line
from agent_image.gateway.ledger import Ledger

_MOST_BYTES = 16 * 1024 * 1024


def test_of_very_much_the_latest_is_kept():
    sink = os.open(os.devnull, os.O_WRONLY)
    ledger = Ledger(Emitter(sink), anyio.Event())
    failed = partial(CallFailed, variation=0, code="llm.refused", reason="x" * 15_000)
    for _ in range(2000):
        ledger.emit(failed)
    os.close(sink)
    lines = ledger.text().splitlines()
    assert _MOST_BYTES * 0.9 < len(ledger.text()) <= _MOST_BYTES
    assert [decode_line(line).n for line in lines] == list(range(2001 - len(lines), 2001))
