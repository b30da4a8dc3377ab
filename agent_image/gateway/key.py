"""A provider's key, which goes to the provider and nowhere else."""

from collections.abc import Iterator

from agent_image.gateway.plan import Wire

_HIDDEN = b"***"


class Key:
    """May be empty, for a provider that wants none."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()
        self._escaped = self._key.replace(b"/", b"\\/")  # as some write it in JSON

    def headers(self, wire: Wire) -> Iterator[tuple[bytes, bytes]]:
        if self._key and wire == "messages":
            yield b"x-api-key", self._key
        elif self._key:
            yield b"authorization", b"Bearer " + self._key

    def hide(self, text: bytes) -> bytes:
        """Return what a provider said without the key."""
        return text.replace(self._key, _HIDDEN).replace(self._escaped, _HIDDEN) if self._key else text
