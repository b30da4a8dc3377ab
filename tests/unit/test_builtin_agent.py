"""The built-in agent with a provider's model, through the harness."""

import os
import sys
from collections.abc import Generator, Mapping
from pathlib import Path

import anyio
import msgspec
import pytest
from asked import WIRES, answers_in
from harness_process import ROOT, Printed, run

from agent_image.events import Outcome, Output, Said, Started, ToolCalled, ToolReturned, Usage
from agent_image.gateway.plan import Wire
from tests.providers.fake import FakeProvider, fake_provider
from tests.providers.faults import BROKEN_ARGUMENTS, Fault, cut_after
from tests.providers.provider import Provider, Serve
from tests.providers.script import Turn, call, submit

pytest_plugins = ["tests.providers.fixture"]

SCRIPT = (
    Turn(thinking="What is there?", text="I look.", calls=[call("run", command="ls"), call("read", path="greet.sh")]),
    Turn(text="I change it.", calls=[call("edit", path="greet.sh", old="hello", new="good day")]),
    Turn(calls=[call("run", command="sh greet.sh you; env")]),
    Turn(calls=[submit("It is polite now.")]),
)
SITE = Path(anyio.__file__).parents[1]
NO_SDK = [sys.executable, "-W", "error", "-S", "-P", "-m", "agent_image"]
"""A Python that finds nothing but the harness, which is what it is in a container."""


@pytest.fixture
def fake() -> Generator[FakeProvider]:
    with fake_provider(SCRIPT) as fake:
        yield fake


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "greet.sh").write_text("echo hello $1\n")
    return workspace


def work(
    provider: Provider, workspace: Path, wire: Wire, *arguments: str, variables: Mapping[str, str] | None = None
) -> Printed:
    access = {"AIDEATOR_GATEWAY": f"{provider.url}/", "AIDEATOR_TOKEN": provider.key}
    return run(
        *("--model=fake-model", f"--wire={wire}", "--prompt=Be polite.", *arguments),
        directory=workspace,
        variables={**access, **(variables or {})},
    )


@pytest.mark.parametrize("wire", WIRES)
def test_a_model_reads_edits_runs_and_submits(fake: FakeProvider, workspace: Path, wire: Wire):
    of_the_image = {
        "ANTHROPIC_API_KEY": "other",
        "ANTHROPIC_AUTH_TOKEN": "other",
        "ANTHROPIC_BASE_URL": "http://elsewhere.test",
        "OPENAI_API_KEY": "other",
        "OPENAI_BASE_URL": "http://elsewhere.test",
        "http_proxy": "http://127.0.0.1:1",
        "ALL_PROXY": "http://127.0.0.1:1",
    }
    printed = work(fake, workspace, wire, "--temperature=0.5", variables=of_the_image)
    assert (printed.finished.outcome, printed.stderr) == (Outcome.SUBMITTED, b"")
    assert (workspace / "greet.sh").read_text() == "echo good day $1\n"
    assert printed.all(Started)[0].model == "fake-model"
    assert [event.tool for event in printed.all(ToolCalled)] == ["run", "read", "edit", "run", "submit"]
    assert all(event.ok for event in printed.all(ToolReturned))
    assert printed.all(Output)[1].text == "good day you\n"
    assert fake.key not in "".join(event.text for event in printed.all(Output))
    thoughts = "".join(event.text for event in printed.all(Said) if event.thought)
    assert thoughts.strip() == "What is there?"
    assert "".join(event.text for event in printed.all(Said) if not event.thought) == "I look.I change it."
    assert [(event.model, event.input_tokens, event.cost_usd) for event in printed.all(Usage)] == [
        ("fake-model", 100, None)
    ] * 4
    assert set(fake.keys) == {fake.key}
    texts = [text for _, text in answers_in(wire, fake.requests[1].body)]
    assert texts == ["the command ended with status 0\ngreet.sh\n", "echo hello $1\n"]
    assert "You are a software engineer" in msgspec.json.encode(fake.requests[0].body).decode()
    assert fake.requests[0].body["temperature"] == 0.5


@pytest.mark.parametrize("wire", WIRES)
def test_a_model_of_another_make_edits_and_submits(provider: Serve, workspace: Path, wire: Wire):
    edit = call("edit", path="greet.sh", old="hello", new="good day")
    script = [Turn(text="Shall I?"), Turn(calls=[edit]), Turn(calls=[call("run", command="false")]), SCRIPT[-1]]
    printed = work(provider(script), workspace, wire)
    assert printed.finished.outcome is Outcome.SUBMITTED
    assert (workspace / "greet.sh").read_text() == "echo good day $1\n"
    assert [event.ok for event in printed.all(ToolReturned)] == [True, False, True]
    assert "".join(event.text for event in printed.all(Said) if not event.thought) == "Shall I?"
    assert [(event.input_tokens, event.output_tokens) for event in printed.all(Usage)] == [(100, 20)] * 4


def test_a_model_that_is_refused_has_given_up_with_a_code(fake: FakeProvider, workspace: Path):
    fake.fail_next(Fault(status=403, body='{"error": {"message": "All is spent. (llm.budget)", "code": "llm.budget"}}'))
    finished = work(fake, workspace, "chat").finished
    assert (finished.outcome, finished.code) == (Outcome.GAVE_UP, "llm.budget")
    assert "All is spent." in finished.reason


def test_a_model_that_writes_no_json_has_given_up_with_a_code(workspace: Path):
    with fake_provider([Turn(calls=[call("run", command="ls")])]) as fake:
        fake.fail_next(BROKEN_ARGUMENTS, times=None)
        printed = work(fake, workspace, "chat")
    assert (printed.finished.outcome, printed.finished.code) == (Outcome.GAVE_UP, "llm.protocol")
    assert [event.ok for event in printed.all(ToolReturned)] == [False] * 3


def test_an_answer_that_broke_off_is_asked_for_again(fake: FakeProvider, workspace: Path):
    fake.fail_next(cut_after(8))
    printed = work(fake, workspace, "chat")
    assert printed.finished.outcome is Outcome.SUBMITTED
    assert (workspace / "greet.sh").read_text() == "echo good day $1\n"
    assert len(printed.all(Usage)) == 4


def without_sdk(fake: FakeProvider, workspace: Path, wire: Wire, home: Path) -> Printed:
    """Work with a Python that has nothing but the harness and its needs, and perhaps more in the agent's home."""
    needs = home.parent / "needs"
    needs.mkdir()
    for name in ("anyio", "idna", "msgspec", "typing_extensions.py"):
        (needs / name).symlink_to(SITE / name)
    return run(
        *("--model=fake-model", f"--wire={wire}", "--prompt=Be polite.", f"--agent-home={home}"),
        directory=workspace,
        variables={
            "AIDEATOR_GATEWAY": fake.url,
            "AIDEATOR_TOKEN": fake.key,
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, needs))),
        },
        python=NO_SDK,
    )


@pytest.mark.parametrize("wire", ["messages", "chat"])
def test_the_packages_of_the_agent_are_found_in_its_home(
    fake: FakeProvider, workspace: Path, tmp_path: Path, wire: Wire
):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/site").symlink_to(SITE)
    assert without_sdk(fake, workspace, wire, tmp_path / "home").finished.outcome is Outcome.SUBMITTED


@pytest.mark.parametrize("wire", ["messages", "chat"])
def test_packages_that_are_missing_are_named(fake: FakeProvider, workspace: Path, tmp_path: Path, wire: Wire):
    printed = without_sdk(fake, workspace, wire, tmp_path / "home")
    assert (printed.finished.outcome, printed.stderr) == (Outcome.CRASHED, b"")
    assert printed.finished.reason.startswith(f"the packages that ask models are not in {tmp_path}/home: No module")
    assert not fake.requests
