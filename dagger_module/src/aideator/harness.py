"""The directory that runs agents in any image: the harness with a Python of its own.

Mounted at `MOUNT` into setup and variations alike. It brings interpreter, standard library, packages, shared libraries
and the loader, so an image needs nothing but the same architecture, and `sh` for the commands that agents run.
"""

from pathlib import Path

import dagger

MOUNT = "/opt/aideator"
PYTHON_IMAGE = "python:3.11-slim"
EXCLUDE = ["**/__pycache__", "**/*.pyc"]
"""What is left out of `agent_image` wherever it is uploaded, so that both doors make the same directory."""

RESULT = "/run/aideator/result.json"
"""Where the harness writes `{outcome, exit, seconds}`; no file means that it crashed."""

_BOOT = f"import sys, runpy; sys.path.insert(0, '{MOUNT}/site'); runpy.run_module('agent_image', run_name='__main__')"
_BUNDLE = Path(__file__).with_name("bundle.py")


def harness(client: dagger.Client, agent_image: dagger.Directory, requirements: str) -> dagger.Directory:
    """Build the directory from the sources of `agent_image`; a change in them alone reinstalls nothing.

    `requirements` is the text of their `requirements.txt`: a file out of a directory counts as new with any of it.
    """
    return (
        client.container()
        .from_(PYTHON_IMAGE)
        .with_new_file("/requirements.txt", requirements)
        .with_new_file("/bundle.py", _BUNDLE.read_text())
        .with_exec(["python3", "/bundle.py", "/requirements.txt", "/bundle"])
        .directory("/bundle")
        .with_directory("site/agent_image", agent_image)
    )


def run_harness(container: dagger.Container, directory: dagger.Directory, args: list[str]) -> dagger.Container:
    """Add a step that runs the harness; the step fails where the harness does not end with status 0.

    The loader is called by name, so neither the image's libc nor its absence matters. Python is isolated (`-I`) from
    the image's variables and the repository's folders: neither one named `agent_image` nor a `PYTHONPATH` replaces it.
    """
    return _run(container, directory, args, dagger.ReturnType.SUCCESS)


def try_harness(container: dagger.Container, directory: dagger.Directory, args: list[str]) -> dagger.Container:
    """Like `run_harness`, but any exit status is a result; only a death by signal still raises `ExecError`."""
    return _run(container, directory, args, dagger.ReturnType.ANY)


def _run(
    container: dagger.Container, directory: dagger.Directory, args: list[str], expect: dagger.ReturnType
) -> dagger.Container:
    python = [f"{MOUNT}/lib/ld.so", "--library-path", f"{MOUNT}/lib", f"{MOUNT}/python/bin/python3"]
    command = [*python, "-I", "-c", _BOOT, "--result", RESULT, *args]
    return container.with_mounted_directory(MOUNT, directory).with_exec(command, expect=expect).without_mount(MOUNT)
