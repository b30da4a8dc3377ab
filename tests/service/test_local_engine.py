"""The local engine keeps what every engine promises."""

from pathlib import Path
from uuid import UUID

import pytest

from service.engine.local.engine import LocalEngine, LocalOptions
from tests.contract import EngineContract
from tests.contract.leftovers import Leftovers
from tests.processes import traces_of


class TestLocalEngine(EngineContract):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> LocalEngine:
        return LocalEngine(LocalOptions(home=tmp_path / "local"))

    @pytest.fixture
    def leftovers(self, tmp_path: Path) -> Leftovers:
        """Besides, nothing of the run's folder."""

        def look(run_id: UUID) -> list[str]:
            return [*traces_of(run_id), *(str(path) for path in (tmp_path / "local" / "runs").glob(f"{run_id}*"))]

        return look
