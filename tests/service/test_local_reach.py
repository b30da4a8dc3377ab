"""What sandboxes can read of the programs that they are shown, where their user is another than the service's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

from service.engine.local.engine import LocalEngine, LocalOptions

pytestmark = [
    pytest.mark.skipif(which("bwrap") is None, reason="there is no bubblewrap"),
    pytest.mark.skipif(os.geteuid() != 0, reason="sandboxes are their user's own"),
]

ROOT = Path(__file__).parents[2]
SOURCES = ("agent_image", "service", "dagger_module/src/aideator")
LOOK = """
import anyio, sys
from pathlib import Path
from service.engine.local.engine import LocalEngine, LocalOptions
print(anyio.run(LocalEngine(LocalOptions(home=Path(sys.argv[1]))).health).detail)
"""


async def test_a_folder_that_sandboxes_cannot_read_is_named_before_anything_starts(tmp_path: Path):
    (tools := tmp_path / "tools").mkdir(mode=0o700)
    health = await LocalEngine(LocalOptions(home=tmp_path / "home", tools=(tools,))).health()
    assert not health.ok
    assert f"sandboxes cannot read {tools}: `chmod -R go+rX {tools}`" in health.detail


def test_our_own_code_has_to_be_readable_and_what_python_made_of_it_has_not(tmp_path: Path):
    for name in SOURCES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("web", "__pycache__"))

    def look() -> str:
        environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{tmp_path}/dagger_module/src"}
        command = [sys.executable, "-P", "-c", LOOK, str(tmp_path / "home")]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=True, cwd="/").stdout

    (tmp_path / "agent_image" / "__pycache__").mkdir(mode=0o700)
    assert "bubblewrap" in look()
    (hidden := tmp_path / "agent_image" / "loop.py").chmod(0o600)
    assert f"sandboxes cannot read {hidden}" in look()
