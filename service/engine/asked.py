"""A variation's task in the words of the pipeline, which every engine builds its command line from."""

from uuid import UUID

import aideator.task
from service.engine import Task


def asked_of(run_id: UUID, index: int, task: Task) -> aideator.task.Task:
    return aideator.task.Task(
        run_id=str(run_id),
        index=index,
        prompt=task.prompt,
        agent=task.agent,
        model=task.model,
        wire=task.wire or "",
        temperature=task.temperature,
        command=task.command,
        mcp=task.mcp,
        timeout_s=task.timeout_s,
    )
