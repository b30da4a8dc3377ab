"""What any fake provider has, so that one test can be about several."""

from typing import Protocol

from tests.providers.script import TOKENS, Script, Tokens


class Provider(Protocol):
    @property
    def url(self) -> str:
        """Without `/v1`, which Anthropic's SDK appends itself, and OpenAI's does not."""
        ...

    @property
    def port(self) -> int: ...

    @property
    def key(self) -> str:
        """The one that it accepts."""
        ...


class Serve(Protocol):
    """Starts a provider, which is there until the test ends."""

    def __call__(self, script: Script, /, *, tokens: Tokens = TOKENS) -> Provider: ...
