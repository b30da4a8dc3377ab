from contextlib import aclosing
from pathlib import Path

import pytest

from service.engine import Engine
from tests.engine_contract import EngineContract, by_command, prepared, spec, vary
from tests.git_repositories import GitRepositories
from tests.process_engine import ProcessEngine, marked


class TestProcessEngine(EngineContract):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> Engine:
        return ProcessEngine(tmp_path)

    async def test_nothing_is_alive_of_what_was_left_or_killed(self, engine: Engine, git: GitRepositories):
        daemon = "trap '' TERM; setsid sh -c 'sleep 1000 & sleep 1000' & "
        asked = spec(git.make("repo"))
        async with prepared(engine, asked) as sandbox:
            async with aclosing(sandbox.vary(0, by_command(f"{daemon} echo here; sleep 1000"))) as items:
                async for _ in items:
                    if len(marked(f"AIDEATOR_TEST={asked.run_id}/0")) >= 4:
                        break
            assert marked(f"AIDEATOR_TEST={asked.run_id}/0") == []
            await vary(sandbox, 1, by_command(f"{daemon} kill -9 $PPID; sleep 1000"))
            assert marked(f"RUN_ID={asked.run_id}") == []
