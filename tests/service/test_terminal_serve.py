"""`aideator serve` at a terminal: what it says while it starts."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.service.terminal import AIDEATOR, LIMIT_S, Terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_the_engine_is_named_as_soon_as_it_is_chosen(terminal: Terminal, database_url: str):
    environ = {**terminal.environ, "DATABASE_URL": database_url}
    command = [str(AIDEATOR), "serve", "--port=0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=terminal.folder, env=environ, stderr=pipe, text=True) as process:
        assert process.stderr is not None
        try:
            said: list[dict[str, Any]] = []
            while not said or said[-1]["event"] != "serving":
                said.append(json.loads(next(process.stderr)))
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()
    assert [each["event"] for each in said] == ["engine", "serving"]
    assert (said[0]["name"], said[0]["reason"]) == ("local", "AIDEATOR_ENGINE is local")
