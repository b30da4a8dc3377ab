"""One agent at work in one container."""

from dataclasses import dataclass

import dagger

from aideator.harness import RESULT, try_harness
from aideator.workspace import WORKDIR


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one variation is asked to do."""

    run_id: str
    """With `index`, what makes this step unlike any other: the same pair reads the same work from the cache."""
    index: int
    prompt: str
    agent: str = "builtin"
    model: str = "scripted"
    command: str = ""
    """The command line of the agent `command`; empty for others."""
    timeout_s: float = 300.0


def variation(workspace: dagger.Container, harness: dagger.Directory, task: Task) -> dagger.Container:
    """The workspace with the agent's step on top; any exit status of the harness is a result.

    What differs between variations enters here and no earlier.
    """
    asked = (
        workspace.with_env_variable("RUN_ID", task.run_id)
        .with_env_variable("VARIATION_ID", str(task.index))
        .with_workdir(WORKDIR)
    )
    args = [
        f"--agent={task.agent}",
        f"--model={task.model}",
        f"--prompt={task.prompt}",
        f"--timeout={task.timeout_s:g}",
    ]
    if task.command:
        args.append(f"--command={task.command}")
    return try_harness(asked, harness, args)


def tree(worked: dagger.Container) -> dagger.Directory:
    """What the agent left of the repository, without `.git`, which it could write."""
    return worked.directory(WORKDIR).without_directory(".git")


def result(worked: dagger.Container) -> dagger.File:
    """The harness's result, JSON; reading it fails where the harness wrote none."""
    return worked.file(RESULT)
