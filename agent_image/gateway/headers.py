"""The headers that go on: those of an agent to a provider, and those of a provider to an agent."""

from collections.abc import Iterable, Iterator

Headers = list[tuple[bytes, bytes]]
"""Names in lower case."""

_KEPT_HERE = frozenset(
    # This connection is none of the next one's business.
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade expect host content-length "
    b"accept-encoding forwarded via x-real-ip "
    # Whose account it is, is not for an agent to say.
    b"authorization proxy-authorization x-api-key api-key cookie openai-organization openai-project "
    # Codex tells there where the repository comes from.
    b"x-codex-turn-metadata".split()
)
_FOR_THE_CALLER = frozenset(
    b"content-type request-id x-request-id retry-after retry-after-ms x-should-retry openai-processing-ms".split()
)
_FOR_THE_CALLER_PREFIXES = (b"anthropic-ratelimit-", b"x-ratelimit-")


def for_provider(headers: Headers, own: Headers) -> Iterator[tuple[bytes, bytes]]:
    """Yield an agent's headers, as far as they go on, and `own`, which go before them."""
    named = {name.strip().lower() for key, value in headers if key == b"connection" for name in value.split(b",")}
    kept = _KEPT_HERE | named | {name for name, _ in own}
    for name, value in headers:
        if name not in kept and not name.startswith(b"x-forwarded-"):
            yield name, value
    yield from own


def for_caller(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return those of a provider that are for the caller."""
    lowered = ((name.lower(), value) for name, value in headers)
    return [
        (name, value) for name, value in lowered if name in _FOR_THE_CALLER or name.startswith(_FOR_THE_CALLER_PREFIXES)
    ]
