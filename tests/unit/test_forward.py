"""A gateway that is a socket in the file system, and agents that know ports alone."""

import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import msgspec
import pytest
from gateway_process import CONTROL, gateway
from harness_process import Printed, run, start

from agent_image.events import Outcome, Said, decode_line
from agent_image.gateway.plan import Grant, Plan, Provider, Wire
from tests.providers.fake import FakeProvider, fake_provider
from tests.providers.faults import silence_after
from tests.providers.script import Turn, call, submit

SCRIPT = (
    Turn(text="I look around, for that is where everything begins.", calls=[call("run", command="ls")]),
    Turn(calls=[submit("That is all.")]),
)
MODELS: dict[Wire, str] = {"messages": "claude", "responses": "gpt", "chat": "gpt"}
MANY = """
import os, threading, urllib.request
base = os.environ["OPENAI_BASE_URL"].removesuffix("/v1")
assert base.startswith("http://127.0.0.1:"), base
def ask():
    headers = {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
    with urllib.request.urlopen(urllib.request.Request(base + "/usage", headers=headers)) as answer:
        answers.append(answer.status)
answers = []
threads = [threading.Thread(target=ask) for _ in range(64)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(answers.count(200))
"""
HALF_CLOSED = """
import os, socket, threading, urllib.parse
url = urllib.parse.urlsplit(os.environ["OPENAI_BASE_URL"])
with socket.create_connection((url.hostname, url.port)) as connection:
    connection.sendall(b"x" * 5_000_000)
    connection.shutdown(socket.SHUT_WR)
    size = 0
    while chunk := connection.recv(65536):
        size += len(chunk)
print(size)
"""


@pytest.fixture
def fake() -> Generator[FakeProvider]:
    with fake_provider(SCRIPT) as fake:
        yield fake


@pytest.fixture
def path(fake: FakeProvider, tmp_path: Path) -> Generator[Path]:
    """Where a gateway is."""
    providers = [
        Provider(name="anthropic", wire="messages", base_url=fake.url, key_variable="GOOD_KEY"),
        Provider(name="openai", wire="responses", base_url=fake.url, key_variable="GOOD_KEY"),
    ]
    grant = Grant(token="the-token", variation=0, models={"claude": "anthropic", "gpt": "openai"}, lifetime_s=1000.0)
    plan = Plan(control_token=CONTROL, providers=providers, grants=[grant])
    with gateway(plan, "--unix", str(tmp_path / "gateway")) as running:
        yield Path(running.address)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    return workspace


def access(path: Path) -> dict[str, str]:
    return {"AIDEATOR_GATEWAY": f"unix://{path}", "AIDEATOR_TOKEN": "the-token"}


def by_model(wire: Wire, *arguments: str) -> list[str]:
    return [f"--model={MODELS[wire]}", f"--wire={wire}", "--prompt=Do it.", *arguments]


def by_python(script: str, path: Path, workspace: Path) -> Printed:
    (workspace / "agent.py").write_text(script)
    command = f"{sys.executable} agent.py"
    return run("--agent=command", f"--command={command}", directory=workspace, variables=access(path))


@pytest.mark.parametrize("wire", MODELS)
def test_an_agent_works_by_it_and_what_it_took_is_known(path: Path, workspace: Path, wire: Wire):
    result = workspace.parent / "result.json"
    printed = run(*by_model(wire, f"--result={result}"), directory=workspace, variables=access(path))
    assert (printed.finished.outcome, printed.stderr) == (Outcome.SUBMITTED, b"")
    assert "".join(event.text for event in printed.all(Said)) == SCRIPT[0].text
    usage = msgspec.json.decode(result.read_bytes())["usage"]
    assert (usage["calls"], usage["input_tokens"]) == (2, 200)


def test_an_answer_comes_as_it_is_said(fake: FakeProvider, path: Path, workspace: Path):
    fake.fail_next(silence_after(4))
    with start(*by_model("messages"), directory=workspace, variables=access(path)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if isinstance(said := decode_line(line), Said):
                assert said.text
                assert said.text != SCRIPT[0].text
                break
        fake.release()
        *_, last = process.stdout
    assert b'"submitted"' in last


def test_many_may_ask_at_once(path: Path, workspace: Path):
    printed = by_python(MANY, path, workspace)
    assert (printed.output(), printed.output("stderr")) == (b"64\n", b"")


def test_who_has_said_all_may_still_be_answered(tmp_path: Path, workspace: Path):
    with echo_at(tmp_path / "echo"):
        printed = by_python(HALF_CLOSED, tmp_path / "echo", workspace)
    assert (printed.output(), printed.output("stderr")) == (b"5000000\n", b"")


@contextmanager
def echo_at(path: Path) -> Generator[None]:
    """A server that answers one visitor, with what it said, when it has said all."""

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            said: list[bytes] = []
            while chunk := connection.recv(65536):
                said.append(chunk)
            connection.sendall(b"".join(said))

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = Thread(target=answer)
        thread.start()
        yield
        thread.join(30)


@pytest.mark.parametrize("wire", MODELS)
def test_a_gateway_that_is_not_there_is_what_the_agent_gives_up_for(tmp_path: Path, workspace: Path, wire: Wire):
    printed = run(*by_model(wire), directory=workspace, variables=access(tmp_path / "nowhere"))
    assert (printed.finished.outcome, printed.finished.code) == (Outcome.GAVE_UP, "llm.unavailable")
    assert "the gateway cannot be reached" in printed.finished.reason
    assert printed.stderr == b""
