"""One agent at work in one container."""

from dataclasses import dataclass

import dagger

from aideator.gateway import HOST, PORT
from aideator.harness import Mounts, try_harness
from aideator.places import RESULT, WORKDIR
from aideator.task import Task, arguments


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where a variation asks for models, and what lets it in."""

    gateway: dagger.Service
    token: dagger.Secret


def variation(
    workspace: dagger.Container, mounts: Mounts, task: Task, access: Access | None = None
) -> dagger.Container:
    """The workspace with the agent's step on top; any exit status of the harness is a result.

    What differs between variations enters here and no earlier. The token is a secret with a name, and the engine's
    cache goes by that: a new token is no new work.
    """
    asked = (
        workspace.with_env_variable("RUN_ID", task.run_id)
        .with_env_variable("VARIATION_ID", str(task.index))
        .with_workdir(WORKDIR)
    )
    if access is not None:
        asked = asked.with_service_binding(HOST, access.gateway)
        asked = asked.with_env_variable("AIDEATOR_GATEWAY", f"http://{HOST}:{PORT}")
        asked = asked.with_secret_variable("AIDEATOR_TOKEN", access.token)
    return try_harness(asked, mounts, arguments(task))


def tree(worked: dagger.Container) -> dagger.Directory:
    """What the agent left of the repository, without `.git`, which it could write."""
    return worked.directory(WORKDIR).without_directory(".git")


def result(worked: dagger.Container) -> dagger.File:
    """The harness's result, JSON; reading it fails where the harness wrote none."""
    return worked.file(RESULT)
