"""What variations share is made once for all of them, and they work at the same time."""

from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import anyio
import dagger
import msgspec

from aideator.harness import PYTHON_IMAGE
from aideator.workspace import setup_cache
from service.engine.dagger.engine import DaggerEngine
from service.git_server import git_server
from tests.contract.sandboxes import by_command, prepared, scripted, spec, vary
from tests.engine.visitors import visitors
from tests.git_repositories import GitRepositories

BY_COMMAND, BY_SCRIPT = range(4), range(4, 8)


async def test_eight_variations_of_two_agents_cause_one_clone_and_one_setup_and_work_at_once(
    dagger_environ: Mapping[str, str], client: dagger.Client, tmp_path: Path
):
    mark = uuid4().hex
    setup = [f'echo {mark} >> "$XDG_CACHE_HOME/done"; cp "$XDG_CACHE_HOME/done" done']
    patches: dict[int, bytes] = {}
    with git_server(tmp_path, trace=tmp_path / "packets") as server, visitors(opens_at=8) as gathered:
        scripts = {f".aideator/scripts/{index}.json": script(gathered.visit(str(index))) for index in BY_SCRIPT}
        url = GitRepositories(tmp_path, server).make("shared", {"nobody has seen this": mark, **scripts})
        tasks = dict.fromkeys(BY_COMMAND, by_command(gathered.visit("$VARIATION_ID")))
        tasks |= dict.fromkeys(BY_SCRIPT, scripted())

        async def work(index: int) -> None:
            assert (await vary(sandbox, index, tasks[index])).exit == 0
            patches[index] = await sandbox.patch(index)

        engine = DaggerEngine(dagger_environ)
        async with prepared(engine, spec(url, setup=setup)) as sandbox, anyio.create_task_group() as variations:
            for index in tasks:
                variations.start_soon(work, index)

    assert sorted(gathered.names) == [str(index) for index in range(8)]
    assert all(f"+{mark}\n".encode() in patches[index] for index in range(8))
    assert pack_transfers(tmp_path / "packets") == 1
    volume = client.container().from_(PYTHON_IMAGE).with_mounted_cache("/cache", setup_cache(client, url, setup))
    looked = volume.with_env_variable("NOW", mark).with_exec(["cat", "/cache/done"])
    assert await looked.stdout() == f"{mark}\n"


def script(command: str) -> bytes:
    calls = [{"tool": "run", "arguments": {"command": command}}, {"tool": "submit"}]
    return msgspec.json.encode({"turns": [{"calls": [call]} for call in calls]})


def pack_transfers(packets: Path) -> int:
    """How many connections asked for a pack; those that only looked at the refs are left out."""
    return sum("< command=fetch" in line for line in packets.read_text(errors="replace").splitlines())
