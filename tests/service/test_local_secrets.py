"""What a task has of secrets reaches its harness on this machine, and nobody else reads it: no user, and no agent."""

import json
from contextlib import aclosing
from pathlib import Path
from shutil import which

import anyio
import pytest
from msgspec import structs

from agent_image.events import Output, decode_line
from agent_image.gateway.plan import Grant, Plan, Provider
from service.engine import Ended, Models, Sandbox, Serving, Task
from service.engine.local.engine import LocalEngine, LocalOptions
from tests.contract.sandboxes import by_command, prepared, scripted, spec
from tests.git_repositories import GitRepositories
from tests.processes import processes_of, processes_that_say

pytestmark = pytest.mark.skipif(which("bwrap") is None, reason="there is no bubblewrap")

SECRET = "s3cret"
LOOK = r"""
import os, subprocess
secret, decoy = b"s3cr" + b"et", b"dec" + b"oy"
own = subprocess.Popen(["sleep", "1000"], env={"KEY": decoy.decode(), "PATH": os.environ["PATH"]})
def regions(pid):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            begin, end = (int(each, 16) for each in line.split()[0].split("-"))
            if "r" in line.split()[1] and not line.split()[-1].startswith("[v"):
                try:
                    memory.seek(begin)
                    yield memory.read(end - begin)
                except (OSError, ValueError, OverflowError):
                    pass
def contents(pid):
    for name in ("cmdline", "environ"):
        with open(f"/proc/{pid}/{name}", "rb") as file:
            yield name, file.read()
    if pid != os.getpid():
        for region in regions(pid):
            yield "mem", region
seen = set()
for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
    try:
        for name, content in contents(pid):
            if secret in content:
                print("found", pid, name)
            if decoy in content and pid == own.pid:
                seen.add(name)
    except OSError:
        pass
own.kill()
own.wait()
print("looked at", *sorted(seen), flush=True)
"""
"""Says where it has found the secret, and where what a process of its own was given, which shows that it can find."""
NOTHING = "looked at environ mem\n"
COMMAND = "python3 look.py; sleep 2"
SCRIPT = {"turns": [{"calls": [{"tool": "run", "arguments": {"command": COMMAND}}, {"tool": "submit"}]}]}
MODELS = Models(
    plan=Plan(
        control_token="control",
        providers=[Provider(name="none", wire="messages", base_url="http://127.0.0.1:9")],
        grants=[Grant(token=f"{SECRET}-token", variation=0, models={"m": "none"}, lifetime_s=600)],
    ),
    keys={},
)
SERVER = {"command": ["true"], "env": {"KEY": f"{SECRET}-of-a-server"}}


async def relay(sandbox: Sandbox, serving: anyio.Event) -> None:
    async with aclosing(sandbox.relay()) as items:
        async for item in items:
            if isinstance(item, Serving):
                serving.set()


async def look(sandbox: Sandbox, index: int, task: Task) -> str:
    """What the agent has found when it has looked; we look while it is still there."""
    said, status = "", None
    async with aclosing(sandbox.vary(index, task)) as items:
        async for item in items:
            if isinstance(item, Ended):
                status = item.exit
            elif isinstance(event := decode_line(item.data), Output):
                said += event.text
                assert processes_that_say(SECRET) == []
    assert status == 0, said
    return said


async def test_a_prompt_a_token_and_what_servers_are_told(git: GitRepositories, tmp_path: Path):
    files = {"look.py": LOOK, ".aideator/scripts/0.json": json.dumps(SCRIPT)}
    asked = structs.replace(spec(git.make("repo", files)), models=MODELS)
    serving = anyio.Event()
    engine = LocalEngine(LocalOptions(home=tmp_path / "local"))
    async with prepared(engine, asked) as sandbox, anyio.create_task_group() as tasks:
        tasks.start_soon(relay, sandbox, serving)
        await serving.wait()
        ours = structs.replace(scripted(), prompt=f"{SECRET}-prompt")
        assert await look(sandbox, 0, ours) == NOTHING
        theirs = structs.replace(by_command(COMMAND), mcp=json.dumps({"files": SERVER}))
        assert await look(sandbox, 1, theirs) == NOTHING
        await sandbox.end_relay()
    assert processes_of(asked.run_id) == []
