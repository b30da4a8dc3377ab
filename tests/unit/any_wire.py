"""A request that is one in each of the wire formats, and where it goes."""

from collections.abc import Mapping
from typing import Any

import pytest

from agent_image.gateway.plan import Wire

PATHS: Mapping[Wire, str] = {
    "messages": "/v1/messages",
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
}
ASKED: dict[str, Any] = {
    "model": "a-model",
    "stream": True,
    "messages": [{"role": "user", "content": "Do it."}],
    "input": "Do it.",
}

every_wire = pytest.mark.parametrize("wire", PATHS)
