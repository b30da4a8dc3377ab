"""The directory that runs agents brings all it needs, into any image."""

import json
from pathlib import Path
from uuid import uuid4

import dagger
import pytest

import agent_image
from aideator.harness import EXCLUDE, PYTHON_IMAGE, harness, try_harness
from aideator.places import MOUNT, RESULT, WORKDIR
from aideator.task import Task
from aideator.variation import variation

in_any_image = pytest.mark.parametrize("image", [PYTHON_IMAGE, "busybox"])

IMPORTS = "import bz2, ctypes, hashlib, lzma, sqlite3, ssl, zlib, anyio, msgspec; ssl.create_default_context()"


def workspace(client: dagger.Client, image: str, files: dict[str, str]) -> dagger.Container:
    directory = client.directory()
    for name, content in files.items():
        directory = directory.with_new_file(name, content)
    return client.container().from_(image).with_directory(WORKDIR, directory).with_workdir(WORKDIR)


@in_any_image
async def test_both_agents_work_in_any_image(client: dagger.Client, directory: dagger.Directory, image: str):
    base = workspace(client, image, {"README.md": "a repository"})
    builtin = variation(base, {MOUNT: directory}, Task(run_id=uuid4().hex, index=3, prompt="look"))
    assert await builtin.exit_code() == 0
    assert "a repository" in await builtin.file(f"{WORKDIR}/AIDEATOR-3.md").contents()
    assert json.loads(await builtin.file(RESULT).contents())["outcome"] == "submitted"

    task = Task(run_id=uuid4().hex, index=0, prompt="say it", agent="command", command='echo "$PROMPT" > said; exit 5')
    command = variation(base, {MOUNT: directory}, task)
    assert await command.exit_code() == 3
    assert await command.file(f"{WORKDIR}/said").contents() == "say it\n"
    assert json.loads(await command.file(RESULT).contents())["outcome"] == "gave_up"


@in_any_image
async def test_the_standard_library_is_whole(client: dagger.Client, directory: dagger.Directory, image: str):
    python = [f"{MOUNT}/lib/ld.so", "--library-path", f"{MOUNT}/lib", f"{MOUNT}/python/bin/python3"]
    bare = client.container().from_(image).with_mounted_directory(MOUNT, directory)
    code = f"import sys; sys.path.insert(0, '{MOUNT}/site'); {IMPORTS}; print('whole')"
    assert await bare.with_exec([*python, "-I", "-c", code]).stdout() == "whole\n"


@in_any_image
async def test_a_repository_cannot_replace_the_harness(client: dagger.Client, directory: dagger.Directory, image: str):
    usurper = "raise SystemExit('replaced')"
    names = ["agent_image/__init__.py", "agent_image/__main__.py", "msgspec.py", "anyio.py", "json.py"]
    base = workspace(client, image, dict.fromkeys(names, usurper))
    worked = variation(base, {MOUNT: directory}, Task(run_id=uuid4().hex, index=0, prompt="look"))
    assert await worked.exit_code() == 0
    assert "AIDEATOR-0.md" in await worked.directory(WORKDIR).entries()


async def test_other_sources_reinstall_nothing(client: dagger.Client, directory: dagger.Directory):
    sources = Path(agent_image.__file__).parent
    changed = client.host().directory(str(sources), exclude=EXCLUDE).with_new_file("new.py", f"# {uuid4()}")
    other = harness(client, changed, (sources / "requirements.txt").read_text())
    both = client.container().from_(PYTHON_IMAGE).with_mounted_directory("/one", directory)
    both = both.with_mounted_directory("/other", other)
    times = await both.with_exec(["stat", "--format=%y", "/one/lib/ld.so", "/other/lib/ld.so"]).stdout()
    assert len(set(times.splitlines())) == 1
    assert "new.py" in await both.directory("/other/site/agent_image").entries()


@in_any_image
async def test_nothing_of_the_harness_reaches_its_commands(
    client: dagger.Client, directory: dagger.Directory, image: str
):
    base = workspace(client, image, {})
    env = await try_harness(base, {MOUNT: directory}, ["--agent=command", "--command=env", "--timeout=60"]).stdout()
    assert "PATH=" in env
    assert "PYTHON" not in env
    assert MOUNT not in env


@in_any_image
async def test_the_variables_of_an_image_reach_commands_and_not_the_harness(
    client: dagger.Client, directory: dagger.Directory, image: str
):
    base = workspace(client, image, {}).with_env_variable("PYTHONPATH", "/app").with_env_variable("PYTHONHOME", "/app")
    env = await try_harness(base, {MOUNT: directory}, ["--agent=command", "--command=env", "--timeout=60"]).stdout()
    assert "PYTHONPATH=/app" in env
    assert "PYTHONHOME=/app" in env
