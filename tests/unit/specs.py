"""What becomes of a request by the rules of an operator who has keys for two providers, and a server of their own."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from service.engine import ANYTHING, Capabilities
from service.errors import InvalidError
from service.providers import read_providers
from service.repo_url import parse_allow
from service.request import RunRequest
from service.rules import Rules, read_prices
from service.run import RunSpec
from service.settings import Settings
from service.validate import to_spec

SETTINGS = structs.replace(Settings(), max_variations=6, gpt_oss_url="http://gpu.test:8000/v1")
KEYS = {"ANTHROPIC_API_KEY": "x", "OPENAI_API_KEY": "x"}
INVALID = "request.invalid"
COMMAND = {"agent": "command", "command": "make"}

Body = dict[str, Any]

_ALLOW = parse_allow("https://git.test/")


async def spec_of(
    body: Body, settings: Settings = SETTINGS, environ: dict[str, str] = KEYS, can: Capabilities = ANYTHING
) -> RunSpec:
    request = msgspec.convert({"repo_url": "https://git.test/a", "prompt": "do it", **body}, RunRequest)
    providers = read_providers(settings, environ, folder=Path(__file__).parent)
    rules = Rules(settings=settings, allow=_ALLOW, providers=providers, prices=read_prices(settings), capabilities=can)
    return await to_spec(request, rules)


async def refusal(
    body: Body, settings: Settings = SETTINGS, environ: dict[str, str] = KEYS, can: Capabilities = ANYTHING
) -> tuple[str, str, str]:
    with pytest.raises(InvalidError) as raised:
        await spec_of(body, settings, environ, can)
    return raised.value.code, raised.value.field, str(raised.value)
