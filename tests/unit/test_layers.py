"""Imports point one way: the service on the pipeline and the line protocol, and within it down this list."""

from pathlib import Path

import pytest

from tests.unit.layers import violations

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "aideator": ROOT / "dagger_module/src/aideator",
    "agent_image": ROOT / "agent_image",
    "service": ROOT / "service",
}
# A module may import what stands below it. A folder is one layer; who in it imports whom is its own affair.
LAYERS = (
    "__main__",
    "cli",
    "demo",
    "serve",
    "terminal",
    "serving",
    "app",
    "docs",
    "problems",
    "routes",
    "worker",
    "validate",
    "assignments",
    "rules",
    "mcp",
    "request",
    "dispatch",
    "execute",
    "relay",
    "gateway",
    "stream",
    "engine",
    "record",
    "logwriter",
    "eventlog",
    "frames",
    "db",
    "ending",
    "tally",
    "providers",
    "run",
    "repo_url",
    "git_ref",
    "image_ref",
    "address",
    "invisible",
    "http_url",
    "text",
    "key",
    "command",
    "logs",
    "git_server",
    "install",
    "errors",
    "settings",
)


def test_imports_point_one_way():
    assert violations(PACKAGES, LAYERS) == []


def made_up(folder: Path, files: dict[str, str]) -> list[str]:
    """What the checker says of three packages that hold these files."""
    packages = {name: folder / name for name in PACKAGES}
    for name, source in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    return violations(packages, ("app", "engine", "db", "run"))


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("service/app.py", "import service.db.runs\nfrom service import run\nimport litestar"),
        ("service/db/runs.py", "from service.db.models import RunRow\nfrom . import models\nimport service.run"),
        ("service/run.py", "from agent_image.events import Event"),
        ("service/app.py", "from service import __version__"),
        ("service/engine/dagger/made_up.py", "import dagger\nfrom aideator.workspace import workspace"),
        ("aideator/main.py", "import dagger\nfrom aideator.workspace import workspace"),
        ("agent_image/harness.py", "from agent_image.events import Event\nfrom . import events"),
    ],
)
def test_what_points_down_is_taken(tmp_path: Path, file: str, source: str):
    assert made_up(tmp_path, {file: source}) == []


@pytest.mark.parametrize(
    ("file", "source", "reason"),
    [
        ("service/db/runs.py", "import service.app", "app is not below db"),
        ("service/db/runs.py", "from service import engine", "engine is not below db"),
        ("service/db/runs.py", "from ..app import create_app", "app is not below db"),
        ("service/run.py", "def late():\n    from service.db.runs import RunRepository", "db is not below run"),
        ("service/__init__.py", "from service.app import create_app", "the package itself imports nothing"),
        ("service/app.py", "import dagger", "only service/engine/dagger/*.py knows Dagger"),
        ("service/engine/local.py", "from dagger import Client", "only service/engine/dagger/*.py knows Dagger"),
        ("service/db/dagger.py", "import aideator.patch", "only service/engine/dagger/*.py knows Dagger"),
        ("service/app.py", "from agent_image.harness import run", "service may not import it"),
        ("service/app.py", "from agent_image import events_of", "service may not import it"),
        ("aideator/main.py", "from service.run import RunState", "aideator may not import it"),
        ("aideator/main.py", "import agent_image.events", "aideator may not import it"),
        ("agent_image/harness.py", "import aideator", "agent_image may not import it"),
        ("agent_image/harness.py", "import dagger", "what runs in a container knows no Dagger"),
        ("service/newcomer.py", "", "add 'newcomer' to LAYERS"),
    ],
)
def test_what_points_up_or_across_is_named_with_its_reason(tmp_path: Path, file: str, source: str, reason: str):
    (said,) = made_up(tmp_path, {file: source})
    assert said.startswith(file)
    assert reason in said
