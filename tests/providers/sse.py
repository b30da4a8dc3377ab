"""Server-sent events as providers write them."""

import json
from collections.abc import Mapping
from typing import Any


def event(data: Mapping[str, Any]) -> bytes:
    """A frame that is named after its data's type."""
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


def data(data: Mapping[str, Any]) -> bytes:
    """A frame without a name."""
    return f"data: {json.dumps(data)}\n\n".encode()
