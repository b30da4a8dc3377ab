"""Every failure that a caller may expect, and the one place where it becomes HTTP.

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
└── EngineLostError              the engine went away: the run is lost
"""

from typing import Any, ClassVar

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.status_codes import HTTP_500_INTERNAL_SERVER_ERROR

logger: structlog.stdlib.BoundLogger = structlog.get_logger()

_PROBLEM = "application/problem+json"


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
    def __init__(self, message: str) -> None:
        super().__init__("patch.failed", message)


class EngineLostError(EngineError):
    def __init__(self, message: str) -> None:
        super().__init__("engine.lost", message)


def problem(status: int, code: str, detail: str, **extra: Any) -> Response[dict[str, Any]]:
    """An error as RFC 9457 describes it; `code` is our addition, and stable."""
    body = {"type": "about:blank", "status": status, "code": code, "detail": detail, **extra}
    return Response(body, status_code=status, media_type=_PROBLEM)


def from_service_error(_: Request[Any, Any, Any], error: ServiceError) -> Response[dict[str, Any]]:
    extra = {name: getattr(error, name) for name in ("field", "state") if getattr(error, name, "")}
    response = problem(error.status, error.code, str(error), **extra)
    response.headers.update(error.headers)
    return response


def from_validation(_: Request[Any, Any, Any], error: ValidationException) -> Response[dict[str, Any]]:
    """What Litestar could not decode; it says 400, which here is kept for what is not JSON at all."""
    errors: list[dict[str, str]] = [
        {"field": str(each.get("key", "")), "message": str(each.get("message", ""))}
        for each in (error.extra if isinstance(error.extra, list) else [])
    ]
    detail = "; ".join(f"{each['field']}: {each['message']}".lstrip(": ") for each in errors) or error.detail
    return problem(422, "request.invalid", detail, errors=errors, field=errors[0]["field"] if errors else "")


def from_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    if error.status_code == HTTP_500_INTERNAL_SERVER_ERROR:
        return from_bug(request, error)
    codes = {404: "route.not_found", 405: "method.not_allowed", 413: "body.too_large", 415: "body.media_type"}
    response = problem(error.status_code, codes.get(error.status_code, "request.malformed"), error.detail)
    response.headers.update(error.headers or {})
    return response


def from_bug(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """Anything unforeseen: logged whole here, and told to nobody else."""
    logger.error("request crashed", method=request.method, path=request.url.path, exc_info=error)
    return problem(500, "internal", "something went wrong here; the log has it")
