"""Every failure that a caller may expect, with the HTTP status of those that a request may meet.

ServiceError
├── ForbiddenError          403  host.unknown
├── NotFoundError           404  run.not_found, variation.not_found, patch.none
├── ConflictError           409  run.ended, run.not_ended, variation.no_patch
├── InvalidError            422  names the field
└── UnavailableError        503  postgres.unavailable, engine.unavailable; says when to try again
EngineError                      what a run ends with, never an HTTP status
├── PrepareError                 the clone, the image or the setup failed: the run fails with this code
├── ModelError                   a model cannot be asked: model.unknown, llm.no_key; in a request, 422
├── PatchError                   the patch of one variation could not be made
├── EngineUnavailableError       this machine cannot run what an engine needs; says what to do
└── EngineLostError              the engine went away: the run is lost
"""

import re
from typing import ClassVar

import msgspec

_WHERE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_NAMED = re.compile(r"field `(?P<name>[^`]*)`")


class ServiceError(Exception):
    """Base class; `status` is the HTTP face, `code` what programs may rely on, `str(error)` what people read."""

    status: ClassVar[int] = 500
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ForbiddenError(ServiceError):
    status = 403


class NotFoundError(ServiceError):
    status = 404


class ConflictError(ServiceError):
    """The request does not fit the state that the thing is in; `state` is that state."""

    status = 409

    def __init__(self, code: str, message: str, *, state: str = "") -> None:
        super().__init__(code, message)
        self.state = state


class InvalidError(ServiceError):
    """A value is not acceptable; `field` is its path in the request's body."""

    status = 422

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(code, f"{field}: {message}")
        self.field = field


def from_decoding(error: msgspec.ValidationError) -> InvalidError:
    """Name the field: where the error is, or for an unknown or a missing one, what it is about."""
    match = _WHERE.fullmatch(str(error))
    assert match is not None, "the pattern takes anything"
    named = _NAMED.search(match["what"])
    path = [part for part in (match["path"], named["name"] if named else None) if part]
    return InvalidError("request.invalid", ".".join(path) or "body", match["what"])


class UnavailableError(ServiceError):
    status = 503
    headers: ClassVar[dict[str, str]] = {"Retry-After": "5"}


class EngineError(Exception):
    """What went wrong while a run was at work; `code` is stable, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class PrepareError(EngineError):
    """`code` is one of `clone.*`, `image.*`, `setup.*`."""


class ModelError(EngineError):
    """`code` is one of `model.unknown`, `llm.no_key`."""


class PatchError(EngineError):
    def __init__(self, message: str, code: str = "patch.failed") -> None:
        super().__init__(code, message)


class EngineUnavailableError(EngineError):
    def __init__(self, message: str) -> None:
        super().__init__("engine.unavailable", message)


class EngineLostError(EngineError):
    def __init__(self, message: str) -> None:
        super().__init__("engine.lost", message)


class ServeError(Exception):
    """The service cannot be served, or no longer; the message says why."""
