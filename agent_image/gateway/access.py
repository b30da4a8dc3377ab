"""Who is let in: tokens are known by their digests, so that how long a comparison takes tells nothing of a token."""

from collections.abc import Iterable, Iterator
from hashlib import sha256

from agent_image.gateway.account import Account
from agent_image.gateway.refusal import RefusedError

Headers = Iterable[tuple[bytes, bytes]]
"""Names in lower case, as ASGI has them."""

_AT_THE_END_S = 1.0
"""For what calls took to become known, when all is to end."""
_UNKNOWN = "This token is unknown here, or its work has ended."


class Access:
    """The tokens of one run."""

    def __init__(self, accounts: Iterable[Account], control_token: str) -> None:
        self._accounts = {_digest(account.grant.token.encode()): account for account in accounts}
        self._control = _digest(control_token.encode())

    def account(self, headers: Headers) -> Account:
        """Return whose request this is.

        Raises:
            RefusedError: nobody's; `llm.token`.

        """
        found = (self._accounts.get(_digest(token)) for token in _tokens(headers))
        account = next((each for each in found if each), None)
        if account is None or account.is_over:
            raise RefusedError("llm.token", _UNKNOWN)
        return account

    def check_control(self, headers: Headers) -> None:
        """Refuse with `llm.token` who does not run this gateway."""
        if self._control not in map(_digest, _tokens(headers)):
            raise RefusedError("llm.token", _UNKNOWN)

    def retire(self, variation: int) -> bool:
        """End the token of a variation, and cut its calls; False if there is no such variation."""
        accounts = [each for each in self._accounts.values() if each.grant.variation == variation]
        for account in accounts:
            account.retire()
        return bool(accounts)

    def retire_all(self) -> None:
        """End all tokens, since this gateway ends."""
        for account in self._accounts.values():
            account.retire(_AT_THE_END_S)


def _digest(token: bytes) -> bytes:
    return sha256(token).digest()


def _tokens(headers: Headers) -> Iterator[bytes]:
    """What a caller presents as its key, in either way; Claude Code may use both at once."""
    for name, value in headers:
        if name == b"x-api-key":
            yield value
        elif name == b"authorization":
            scheme, _, token = value.partition(b" ")
            if scheme.lower() == b"bearer":
                yield token.strip()
