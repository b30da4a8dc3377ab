"""The way to the gateway, and what becomes of the errors met on it."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from json import JSONDecodeError
from typing import cast

import httpx2
import msgspec

from agent_image.model import BrokenTurnError, ModelError

_CONNECT_S = 30.0
_SILENCE_S = 960.0
"""The gateway may wait for a provider for 300 s, and ask it for 600; what is silent for longer is gone."""
_LONGEST_MESSAGE = 500

_CODES = {401: "llm.auth", 403: "llm.auth", 413: "llm.request_too_large", 429: "llm.rate_limited"}
_SERVER_ERROR = 500
_REFUSED = 400


def connection() -> httpx2.AsyncClient:
    """The gateway is near: a proxy of the image's environment does not lead there."""
    timeout = httpx2.Timeout(_SILENCE_S, connect=_CONNECT_S)
    return httpx2.AsyncClient(timeout=timeout, trust_env=False)


@contextmanager
def failures(sdk_error: type[Exception]) -> Generator[None]:
    """Turn what goes wrong in a call into errors of the model; `sdk_error` is the base of those that the SDK raises.

    Raises:
        BrokenTurnError: the answer had begun, or nobody was there to answer.
        ModelError: the call was refused; the gateway has tried again for as long as that made sense.

    """
    try:
        yield
    except sdk_error as error:
        raise _model_error(error) from error
    except httpx2.HTTPError as error:
        raise _connection_error(error) from error
    except (JSONDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise broken_error(f"it cannot be read: {error}") from error


def broken_error(error: object) -> BrokenTurnError:
    """What a provider says went wrong in the middle of its answer."""
    message, code = _told(error)
    return BrokenTurnError(_broken(message), code or "llm.failed")


def truncated_error() -> BrokenTurnError:
    return BrokenTurnError(_broken("it ended too early"), "llm.truncated")


def refusal_error(reason: str = "") -> ModelError:
    """The model will not do it; another try would be answered alike."""
    message = f"the model refused to go on: {reason}" if reason else "the model refused to go on"
    return ModelError(message[:_LONGEST_MESSAGE], "llm.refused")


def _model_error(error: Exception) -> ModelError:
    body, status = getattr(error, "body", None), getattr(error, "status_code", 0)
    if not status and isinstance(error.__cause__, httpx2.HTTPError):
        return _connection_error(error.__cause__)
    if status < _REFUSED:
        return broken_error(body or str(error))
    message, code = _told(body or str(error))
    code = code or _CODES.get(status) or ("llm.unavailable" if status >= _SERVER_ERROR else "llm.refused")
    return ModelError(f"the model call failed with status {status}: {message}"[:_LONGEST_MESSAGE], code)


def _connection_error(error: httpx2.HTTPError) -> BrokenTurnError:
    what = str(error) or type(error).__name__
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return BrokenTurnError(f"the gateway cannot be reached: {what}", "llm.unavailable")
    code = "llm.silent" if isinstance(error, httpx2.TimeoutException) else "llm.truncated"
    return BrokenTurnError(_broken(what), code)


def _told(error: object) -> tuple[str, str]:
    """Return the message of an error body, which may be wrapped or not, and its code where it is one of ours."""
    if not isinstance(error, Mapping):
        return str(error), ""
    fields = cast("Mapping[str, object]", error)
    if isinstance(inner := fields.get("error"), Mapping):
        fields = cast("Mapping[str, object]", inner)
    message, code = fields.get("message") or fields.get("type") or "an unknown error", str(fields.get("code"))
    return str(message), code if code.startswith("llm.") else ""


def _broken(reason: str) -> str:
    return f"the model's answer broke off: {reason}"[:_LONGEST_MESSAGE]
