"""The Dagger engine keeps what every engine promises."""

from collections.abc import Mapping

import pytest

from service.engine.dagger.engine import DaggerEngine
from tests.contract import EngineContract


class TestDaggerEngine(EngineContract):
    @pytest.fixture
    def engine(self, dagger_environ: Mapping[str, str]) -> DaggerEngine:
        return DaggerEngine(dagger_environ)
