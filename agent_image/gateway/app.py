"""The gateway's endpoints."""

import sys
import traceback
from typing import Any

from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.types import Scope

from agent_image.gateway.account import Totals
from agent_image.gateway.call import Call
from agent_image.gateway.gateway import Gateway
from agent_image.gateway.plan import Grant, Wire
from agent_image.gateway.refusal import RefusedError, error_body
from agent_image.gateway.request import COUNT_PATH, PATHS

AnyRequest = Request[Any, Any, State]

_LONG_AGO = "2025-01-01T00:00:00Z"
"""When a model was made, which nobody here knows and Anthropic's SDK wants to."""


def create_app(gateway: Gateway) -> Litestar:
    """Wire the endpoints to a gateway."""
    return Litestar(
        route_handlers=[ask_messages, ask_chat, ask_responses, models, usage, ledger, retire, live],
        dependencies={"gateway": Provide(lambda: gateway, sync_to_thread=False)},
        exception_handlers={RefusedError: _refuse},
        after_exception=[_report],
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,
    )


@post([PATHS["messages"], COUNT_PATH], status_code=200)
async def ask_messages(gateway: NamedDependency[Gateway]) -> Call:
    return Call(gateway, "messages")


@post(PATHS["chat"], status_code=200)
async def ask_chat(gateway: NamedDependency[Gateway]) -> Call:
    return Call(gateway, "chat")


@post(PATHS["responses"], status_code=200)
async def ask_responses(gateway: NamedDependency[Gateway]) -> Call:
    return Call(gateway, "responses")


@get("/v1/models")
async def models(gateway: NamedDependency[Gateway], request: AnyRequest) -> dict[str, Any]:
    """The models of a token, in the way of whose SDK asks."""
    grant = gateway.access.account(request.scope["headers"]).grant
    return _for_anthropic(grant) if _wire(request) == "messages" else _for_openai(grant)


@get("/usage")
async def usage(gateway: NamedDependency[Gateway], request: AnyRequest) -> Totals:
    """What the calls of a token have taken so far."""
    return gateway.access.account(request.scope["headers"]).totals


@get("/control/ledger", media_type=MediaType.TEXT)
async def ledger(gateway: NamedDependency[Gateway], request: AnyRequest) -> bytes:
    """All that was printed so far."""
    gateway.access.check_control(request.scope["headers"])
    return gateway.ledger.text()


@post("/control/retire/{variation:int}", status_code=204)
async def retire(gateway: NamedDependency[Gateway], request: AnyRequest, variation: FromPath[int]) -> None:
    """End the token of a variation, and cut its calls."""
    gateway.access.check_control(request.scope["headers"])
    if not gateway.access.retire(variation):
        raise HTTPException("there is no such variation", status_code=404)


@get("/live")
async def live() -> None:
    """Answer, to show that it can."""


def _wire(request: AnyRequest) -> Wire:
    return "messages" if "anthropic-version" in request.headers else "chat"


def _for_anthropic(grant: Grant) -> dict[str, Any]:
    names = list(grant.models)
    data = [{"type": "model", "id": name, "display_name": name, "created_at": _LONG_AGO} for name in names]
    ends = {"first_id": names[0], "last_id": names[-1]} if names else {"first_id": None, "last_id": None}
    return {"data": data, "has_more": False, **ends}


def _for_openai(grant: Grant) -> dict[str, Any]:
    models = grant.models.items()
    data = [{"id": name, "object": "model", "created": 0, "owned_by": provider} for name, provider in models]
    return {"object": "list", "data": data}


def _refuse(request: AnyRequest, error: RefusedError) -> Response[bytes]:
    headers = {name.decode(): value.decode() for name, value in error.headers}
    return Response(error_body(_wire(request), error), status_code=error.status, headers=headers)


async def _report(error: Exception, _: Scope) -> None:
    """A defect goes to stderr; what is an answer, like 404, does not."""
    if not isinstance(error, (HTTPException, RefusedError)):
        traceback.print_exception(error, file=sys.stderr)
