"""The directories that run agents in any image: the harness with a Python of its own, and packages beside it.

The harness is mounted into setup and variations alike; what an agent needs besides is a directory of its own, mounted
in the variation's step alone, so that agents of several kinds share one workspace. An image needs nothing but the same
architecture, and `sh` for the commands that agents run.
"""

from collections.abc import Mapping
from pathlib import Path

import dagger

from aideator.places import AGENT_MOUNT, MCP_MOUNT, MOUNT, RESULT

PYTHON_IMAGE = "python:3.11-slim"
EXCLUDE = ["**/__pycache__", "**/*.pyc"]
"""What is left out of `agent_image` wherever it is uploaded, so that both doors make the same directory."""

_BUNDLE = Path(__file__).with_name("bundle.py")
_LIBRARIES = ":".join(f"{mount}/lib" for mount in (MOUNT, AGENT_MOUNT, MCP_MOUNT))

Mounts = Mapping[str, dagger.Directory]
"""Directories by where they are mounted while a step runs."""


def harness(client: dagger.Client, agent_image: dagger.Directory, requirements: str) -> dagger.Directory:
    """Build the directory from the sources of `agent_image`; a change in them alone reinstalls nothing.

    `requirements` is the text of their `requirements.txt`: a file out of a directory counts as new with any of it.
    """
    python = _bundling(client).with_exec(["python3", "/bundle.py", "python", "/bundle"]).directory("/bundle")
    with_packages = python.with_directory("/", packages(client, requirements))
    return with_packages.with_directory("site/agent_image", agent_image)


def packages(client: dagger.Client, requirements: str) -> dagger.Directory:
    """Install what the text of a requirements file lists, all of it pinned, into a directory to mount."""
    bundling = _bundling(client).with_new_file("/requirements.txt", requirements)
    bundle = ["python3", "/bundle.py", "packages", "/bundle", "/requirements.txt"]
    return bundling.with_exec(bundle).directory("/bundle")


def _bundling(client: dagger.Client) -> dagger.Container:
    return client.container().from_(PYTHON_IMAGE).with_new_file("/bundle.py", _BUNDLE.read_text())


def command(module: str) -> list[str]:
    """The command line that runs a module of the harness.

    The loader is called by name, so neither the image's libc nor its absence matters. Python is isolated (`-I`) from
    the image's variables and the repository's folders: neither one named `agent_image` nor a `PYTHONPATH` replaces it.
    """
    boot = f"import sys, runpy; sys.path.insert(0, '{MOUNT}/site'); sys.path.append('{AGENT_MOUNT}/site'); "
    run = f"runpy.run_module('{module}', run_name='__main__')"
    python = [f"{MOUNT}/lib/ld.so", "--library-path", _LIBRARIES, f"{MOUNT}/python/bin/python3"]
    return [*python, "-I", "-c", boot + run]


def run_harness(container: dagger.Container, mounts: Mounts, args: list[str]) -> dagger.Container:
    """Add a step that runs the harness; the step fails where the harness does not end with status 0."""
    return _run(container, mounts, args, dagger.ReturnType.SUCCESS)


def try_harness(container: dagger.Container, mounts: Mounts, args: list[str]) -> dagger.Container:
    """Like `run_harness`, but any exit status is a result; only a death by signal still raises `ExecError`."""
    return _run(container, mounts, args, dagger.ReturnType.ANY)


def mounted(container: dagger.Container, mounts: Mounts) -> dagger.Container:
    for path, directory in mounts.items():
        container = container.with_mounted_directory(path, directory)
    return container


def _run(container: dagger.Container, mounts: Mounts, args: list[str], expect: dagger.ReturnType) -> dagger.Container:
    line = [*command("agent_image"), "--result", RESULT, *args]
    ended = mounted(container, mounts).with_exec(line, expect=expect)
    for path in mounts:
        ended = ended.without_mount(path)
    return ended
