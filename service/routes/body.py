"""Bodies of requests, decoded strictly.

Litestar converts leniently, as suits paths and queries: it would take "3" for 3. So a body is checked before it does.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar import MediaType, Request
from litestar.exceptions import HTTPException
from litestar.status_codes import HTTP_400_BAD_REQUEST, HTTP_415_UNSUPPORTED_MEDIA_TYPE

from service.errors import from_decoding


def strict(body_type: type[msgspec.Struct]) -> Callable[[Request[Any, Any, Any]], Awaitable[None]]:
    """Make a `before_request` hook that refuses what is not exactly a `body_type`."""
    decoder = msgspec.json.Decoder(body_type)

    async def check(request: Request[Any, Any, Any]) -> None:
        if request.content_type[0] != MediaType.JSON:
            raise HTTPException("the body must be application/json", status_code=HTTP_415_UNSUPPORTED_MEDIA_TYPE)
        try:
            decoder.decode(await request.body())
        except msgspec.ValidationError as error:
            raise from_decoding(error) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise HTTPException(f"the body is no JSON: {error}", status_code=HTTP_400_BAD_REQUEST) from error

    return check
