"""The fake's endpoints."""

from typing import Any

from litestar import Litestar, Request, get, post
from litestar.datastructures import State
from litestar.types import ASGIApp

from tests.providers.desk import Desk
from tests.providers.wires import WIRES

_CREATED = "2025-01-01T00:00:00Z"


def make_app(desk: Desk) -> Litestar:
    @post(list(WIRES), status_code=200)
    async def generate(request: Request[Any, Any, State]) -> ASGIApp:
        return await desk.generate(WIRES[request.url.path], request)

    @post("/v1/messages/count_tokens", status_code=200)
    async def count_tokens(request: Request[Any, Any, State]) -> ASGIApp:
        return await desk.tell(WIRES["/v1/messages"], request, {"input_tokens": desk.tokens.input})

    @get("/v1/models")
    async def models(request: Request[Any, Any, State]) -> ASGIApp:
        path = "/v1/messages" if "anthropic-version" in request.headers else "/v1/responses"
        return await desk.tell(WIRES[path], request, _models(desk))

    handlers = [generate, count_tokens, models]
    return Litestar(handlers, openapi_config=None, logging_config=None, request_max_body_size=None)


def _models(desk: Desk) -> dict[str, Any]:
    """A list that either SDK takes for its provider's."""
    of_anthropic = {"type": "model", "created_at": _CREATED}
    of_openai = {"object": "model", "created": 1_735_689_600, "owned_by": "fake"}
    models = [{"id": name, "display_name": name, **of_anthropic, **of_openai} for name in desk.models]
    first, last = desk.models[:1] or (None,), desk.models[-1:] or (None,)
    return {"object": "list", "data": models, "has_more": False, "first_id": first[0], "last_id": last[0]}
