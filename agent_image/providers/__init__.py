"""Models of providers, over the providers' own SDKs, which are imported only when one is asked for.

One file a wire format: `messages`, `responses`, `chat`. Each begins with what it reads of an answer; whatever else
is in one is no concern of ours, and what a compatible server leaves out has a default.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import assert_never

from agent_image.gateway.plan import Wire
from agent_image.model import Model
from agent_image.providers.settings import Settings


@asynccontextmanager
async def provider_model(wire: Wire, settings: Settings) -> AsyncGenerator[Model]:
    """Connect to the models that speak `wire`.

    Raises:
        ImportError: the SDK is not installed.

    """
    from agent_image.providers.connection import connection  # noqa: PLC0415 it comes with the SDKs

    async with connection() as http:
        match wire:
            case "messages":
                from agent_image.providers.messages import MessagesModel  # noqa: PLC0415

                yield MessagesModel(settings, http)
            case "responses":
                from agent_image.providers.responses import ResponsesModel  # noqa: PLC0415

                yield ResponsesModel(settings, http)
            case "chat":
                from agent_image.providers.chat import ChatModel  # noqa: PLC0415

                yield ChatModel(settings, http)
            case _:
                assert_never(wire)
