"""A task that is told on stdin: arguments and variables that others shall not read, as command lines can be."""

import os

import msgspec

from agent_image.shell import commands_environment
from agent_image.task import Task, TaskError, read_task

OPTION = "--task-from-stdin"
_STDIN = 0


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands for a command line, and for variables besides those that there are."""

    arguments: tuple[str, ...]
    environ: dict[str, str] = {}


def read_told() -> Task:
    """Read a task from stdin to its end, where nothing else will be found; commands get its variables, but ours.

    Raises:
        TaskError: there is none.

    """
    try:
        told = msgspec.json.decode(_take_stdin(), type=Told)
        task = read_task(told.arguments, {**os.environ, **told.environ})
        os.environ.update(commands_environment(told.environ))
    except OSError as error:
        raise TaskError(f"stdin, which has the task, cannot be read: {error.strerror}") from error
    except ValueError as error:  # also from a name that no variable can have
        raise TaskError(f"stdin has no task, as JSON with arguments and environ: {error}") from error
    return task


def _take_stdin() -> bytes:
    with open(_STDIN, "rb", closefd=False) as stdin:
        told = stdin.read()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, _STDIN)
    os.close(nothing)
    return told
