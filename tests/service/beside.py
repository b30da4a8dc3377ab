"""An agent that misbehaves, with another at its side who must not notice."""

import anyio
import pytest

from service.engine import Sandbox, SandboxSpec
from service.engine.local.engine import LocalEngine
from service.errors import EngineError
from tests.contract.sandboxes import Ran, by_command, prepared, vary, vary_all
from tests.processes import traces_of

MIB = 1 << 20
SIBLING = by_command("sleep 2; echo untouched > mine; cat mine")


async def beside_a_sibling(engine: LocalEngine, asked: SandboxSpec, command: str, *, timeout_s: float = 60.0) -> Ran:
    """Let an agent run this command, with another at its side who must not notice; nothing is left of either."""
    async with prepared(engine, asked) as sandbox:
        ended = await vary_all(sandbox, {0: by_command(command, timeout_s=timeout_s), 1: SIBLING})
        assert (ended[1].exit, ended[1].printed()) == (0, b"untouched\n")
        assert b"untouched" in await sandbox.patch(1)
    assert traces_of(asked.run_id) == []
    return ended[0]


async def error_beside_a_sibling(engine: LocalEngine, asked: SandboxSpec, command: str) -> EngineError:
    """The same for one that the engine has to end."""
    errors: list[EngineError] = []

    async def attack(sandbox: Sandbox) -> None:
        with pytest.raises(EngineError) as caught:
            await vary(sandbox, 0, by_command(command))
        errors.append(caught.value)

    async with prepared(engine, asked) as sandbox, anyio.create_task_group() as tasks:
        tasks.start_soon(attack, sandbox)
        ended = await vary(sandbox, 1, SIBLING)
        assert (ended.exit, ended.printed()) == (0, b"untouched\n")
    assert traces_of(asked.run_id) == []
    return errors[0]


def python(script: str) -> str:
    return f"python3 - <<'END'\n{script}\nEND"
