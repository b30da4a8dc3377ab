"""The one place where a failure becomes HTTP."""

from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.status_codes import HTTP_500_INTERNAL_SERVER_ERROR

from service.errors import ServiceError

logger: structlog.stdlib.BoundLogger = structlog.get_logger()

_PROBLEM = "application/problem+json"


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
