"""What a caller gets instead of an answer, or in the middle of one: an error in its own wire format."""

from typing import Any

import msgspec

from agent_image.gateway.plan import Wire

_STATUS = {
    "llm.token": 401,
    "llm.model": 403,
    "llm.budget": 403,
    "llm.auth": 401,
    "llm.spend_limit": 403,
    "llm.rate_limited": 429,
    "llm.unavailable": 503,
    "llm.request_too_large": 413,
    "llm.refused": 400,
    "llm.truncated": 502,
    "llm.silent": 504,
    "llm.too_large": 502,
    "llm.failed": 500,
}
_TYPE = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    # Not `overloaded_error`, which Claude Code asks again for, whatever it is told.
    503: "api_error",
    504: "timeout_error",
}
_WORTH_ANOTHER_TRY = {"llm.truncated", "llm.silent"}
"""Another call may fare better; after all others the same would come of it."""


class RefusedError(Exception):
    """There is no answer, or no more of it. `code` is for programs, the message for an agent to read.

    `is_final` is False where the same call may fare better later.
    """

    def __init__(self, code: str, message: str, *, is_final: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self._is_final = is_final and code not in _WORTH_ANOTHER_TRY

    @property
    def status(self) -> int:
        """The HTTP status, where the answer has not begun."""
        return _STATUS[self.code]

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        fixed = [(b"content-type", b"application/json")]
        return [*fixed, (b"x-should-retry", b"false")] if self._is_final else fixed


def error_body(wire: Wire, error: RefusedError) -> bytes:
    return msgspec.json.encode(_body(wire, error))


def error_event(wire: Wire, error: RefusedError) -> bytes:
    """Return the error as an event for a stream that has begun."""
    match wire:
        case "messages":
            return b"event: error\ndata: %b\n\n" % error_body(wire, error)
        case "chat":
            return b"data: %b\n\n" % error_body(wire, error)
        case "responses":
            # Both, as the API itself does it: SDKs look for the first, Codex for the second alone.
            event: dict[str, Any] = {
                "type": "error",
                **_fields_of_openai(error),
                **_body(wire, error),
                "sequence_number": 0,
            }
            response: dict[str, Any] = {
                "object": "response",
                "status": "failed",
                "output": [],
                "error": _fields_of_openai(error),
            }
            failed: dict[str, Any] = {"type": "response.failed", "response": response, "sequence_number": 1}
            return b"".join(
                b"event: %b\ndata: %b\n\n" % (data["type"].encode(), msgspec.json.encode(data))
                for data in (event, failed)
            )


def _body(wire: Wire, error: RefusedError) -> dict[str, Any]:
    kind = _TYPE[error.status]
    if wire == "messages":
        return {"type": "error", "error": {"type": kind, "message": _message(error), "code": error.code}}
    return {"error": {"type": kind, **_fields_of_openai(error)}}


def _fields_of_openai(error: RefusedError) -> dict[str, Any]:
    return {"message": _message(error), "param": None, "code": error.code}


def _message(error: RefusedError) -> str:
    """The code in the words, too: of an error's fields, that is the one which agents' programs show."""
    return f"{error} ({error.code})"
