"""The fixture `provider`, for tests that hold with either fake: `pytest_plugins = ["tests.providers.fixture"]`."""

import os
from collections.abc import Generator
from contextlib import ExitStack
from typing import cast

import pytest

from tests.providers.aimock import AimockMissingError, aimock
from tests.providers.fake import fake_provider
from tests.providers.provider import Provider, Serve
from tests.providers.script import TOKENS, Script, Tokens

_IS_REQUIRED = os.environ.get("AIDEATOR_REQUIRE_ENGINE") == "1"


@pytest.fixture(params=["fake", "aimock"])
def provider(request: pytest.FixtureRequest) -> Generator[Serve]:
    """Serve scripts by our own fake, and by aimock where it can be had; AIDEATOR_REQUIRE_ENGINE=1 says that it can."""
    make = {"fake": fake_provider, "aimock": aimock}[cast("str", request.param)]
    with ExitStack() as running:

        def serve(script: Script, /, *, tokens: Tokens = TOKENS) -> Provider:
            try:
                return running.enter_context(make(script, tokens=tokens))
            except AimockMissingError as error:
                if _IS_REQUIRED:
                    pytest.fail(f"AIDEATOR_REQUIRE_ENGINE is set, and {error}", pytrace=False)
                pytest.skip(str(error))

        yield serve
