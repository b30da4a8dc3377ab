"""`python -P -m agent_image`: what runs in a variation's container."""

import os
import sys
import traceback
from typing import Never, cast

import anyio

from agent_image.emitter import StdoutClosedError
from agent_image.events import Outcome
from agent_image.harness import Harness
from agent_image.output import Limits
from agent_image.result import Ended
from agent_image.task import Task, TaskError, read_task
from agent_image.told import OPTION, read_told


def main(limits: Limits) -> int:
    """Do what arguments and environment ask for, and return the exit status."""
    try:
        task = read_told() if sys.argv[1:] == [OPTION] else read_task(sys.argv[1:], os.environ)
    except TaskError as error:
        print(error, file=sys.stderr)  # noqa: T201 stderr is for people
        return 2
    if task.serve:
        _serve(task)
        return 0
    harness = Harness(task, limits)
    harness.guard()
    try:
        ended = anyio.run(harness.work)
    except Exception as error:  # noqa: BLE001 the crash boundary: whatever happens, the harness has a last word
        ended = _crash(error)
    return harness.end(ended)


def _serve(task: Task) -> None:
    from agent_image.mcp.repository import serve  # noqa: PLC0415 an agent has no use for it

    assert task.serve is not None
    serve(task.serve, task.directory)


def _crash(error: Exception) -> Ended:
    while isinstance(error, ExceptionGroup):
        error = cast("ExceptionGroup[Exception]", error).exceptions[0]
    if not isinstance(error, StdoutClosedError):
        traceback.print_exception(error)
    return Ended(Outcome.CRASHED, f"{type(error).__name__}: {error}")


def run() -> Never:
    """Be the harness, from its start to its exit."""
    sys.exit(main(Limits()))


if __name__ == "__main__":
    run()
