"""What a client needs to reach an engine: some variables, and the command `dagger`."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.bare_engine.instance import REPOSITORY, Instance

RUNNER_HOST = "_EXPERIMENTAL_DAGGER_RUNNER_HOST"
ENV_FILE = REPOSITORY / ".engine" / "env"

WRAPPER = """\
#!/bin/sh
# Written by tests/bare_engine: the Dagger CLI, with the variables of `make engine` unless the caller has an engine.
if [ -z "${{_EXPERIMENTAL_DAGGER_RUNNER_HOST:-}}" ] && [ -f '{env_file}' ]; then
  set -a
  . '{env_file}'
  set +a
fi
cli=${{_EXPERIMENTAL_DAGGER_CLI_BIN:-}}
IFS=:
for folder in $PATH; do
  [ -n "$cli" ] && break
  if [ "$folder" != '{bin}' ] && [ -x "$folder/dagger" ]; then cli=$folder/dagger; fi
done
unset IFS
if [ -z "$cli" ]; then
  echo "There is no Dagger CLI: install it, or run make engine." >&2
  exit 127
fi
exec "$cli" "$@"
"""


def client_env(instance: Instance) -> dict[str, str]:
    """Return the variables by which a client reaches `instance`, to be added to its own."""
    return {
        RUNNER_HOST: f"unix://{instance.socket}",
        "_EXPERIMENTAL_DAGGER_CLI_BIN": str(instance.cli),
        "DO_NOT_TRACK": "1",
        "DAGGER_NO_UPDATE_CHECK": "1",
        "DAGGER_NO_NAG": "1",
        # The CLI offers the caller's SSH agent to the engine, and fails when that is gone.
        "SSH_AUTH_SOCK": "",
    }


def engine_answers(instance: Instance, *, timeout_s: float = 30) -> bool:
    """Ask the engine for its version: the socket's file is there before anyone listens, and after."""
    command, environment = [instance.cli, "core", "version"], {**os.environ, **client_env(instance)}
    try:
        answer = subprocess.run(command, env=environment, cwd="/", capture_output=True, timeout=timeout_s, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def other_engine(instance: Instance, environment: Mapping[str, str] = os.environ) -> str | None:
    """Say in words which engine the caller has without ours; None if there is none."""
    host = environment.get(RUNNER_HOST)
    if host and host != client_env(instance)[RUNNER_HOST]:
        return f"{RUNNER_HOST} names {host}"
    try:
        answer = subprocess.run(["docker", "info"], capture_output=True, timeout=10, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return "Docker answers, and the Dagger CLI starts its engine in it" if answer.returncode == 0 else None


def write_env(instance: Instance) -> None:
    """Write the variables to `.engine/env`, one `NAME=value` a line."""
    replace_text(ENV_FILE, "".join(f"{name}={value}\n" for name, value in client_env(instance).items()))


def write_cli(venv_bin: Path, env_file: Path = ENV_FILE) -> None:
    """Write `dagger` into a virtual environment's `bin`: the CLI of whichever engine there is."""
    path = venv_bin / "dagger"
    replace_text(path, WRAPPER.format(env_file=env_file, bin=venv_bin))
    path.chmod(0o755)


def replace_text(path: Path, content: str) -> None:
    """Write `content`, unless the file has it: what is unchanged keeps its time."""
    if path.exists() and path.read_text() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
