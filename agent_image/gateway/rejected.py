"""The error that a provider answers with, and what can be read in it."""

from typing import Any

import msgspec
from msgspec import Struct

from agent_image.gateway.headers import Headers
from agent_image.gateway.plan import Wire

_BAD_REQUEST, _PAYMENT_REQUIRED = 400, 402
_LONGEST_TEXT = 200
_NO_MORE_MONEY = (
    "enforced_spend_limit_reached",
    "insufficient_quota",
    "billing_error",
    "billing_hard_limit_reached",
    "billing_not_active",
)
_NO_CREDIT = "Your credit balance is too low"


class _Body(Struct, frozen=True):
    error: dict[str, Any]


class Rejected(Struct, frozen=True):
    """Is the caller's to understand."""

    status: int
    headers: Headers
    body: bytes

    @property
    def text(self) -> str:
        """What it says, for people."""
        message = self._fields.get("message")
        return message if isinstance(message, str) else self.body[:_LONGEST_TEXT].decode(errors="replace")

    def is_about_money(self, wire: Wire) -> bool:
        """Whether the account's limit was reached. Only the error's own fields count: other text may be an agent's."""
        if self.status == _PAYMENT_REQUIRED:
            return True
        kind, code = self._fields.get("type"), self._fields.get("code")
        if kind in _NO_MORE_MONEY or code in _NO_MORE_MONEY:
            return True
        is_anthropic_s = (wire, self.status, kind) == ("messages", _BAD_REQUEST, "invalid_request_error")
        return is_anthropic_s and self.text.startswith(_NO_CREDIT)

    @property
    def _fields(self) -> dict[str, Any]:
        """Those of the error; none where it is another kind of error."""
        try:
            return msgspec.json.decode(self.body, type=_Body).error
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return {}
