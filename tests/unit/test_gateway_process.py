"""The gateway from its first word to its last, whoever ends it; and what it does not begin with."""

import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from gateway_process import (
    CONTROL,
    HTTP,
    KEYS,
    NO_TLS,
    GatewayProcess,
    assert_keyless,
    assert_well_told,
    gateway,
    start,
)

from agent_image.events import CallFailed, Finished, Outcome, Started, Usage
from agent_image.gateway.plan import Grant, Plan, Provider
from agent_image.gateway.plan_file import PlanError, read_plan
from tests.providers.fake import FakeProvider, fake_provider
from tests.providers.faults import silence_after


@pytest.fixture
def fake() -> Generator[FakeProvider]:
    with fake_provider() as fake:
        yield fake


def plan_for(url: str) -> Plan:
    providers = [
        Provider(name="anthropic", wire="messages", base_url=url, key_variable="GOOD_KEY"),
        Provider(name="openai", wire="responses", base_url=url, key_variable="GOOD_KEY"),
    ]
    models = {"claude": "anthropic", "gpt": "openai"}
    grant = Grant(token="the-token", variation=7, models=models, lifetime_s=1000.0)
    return Plan(control_token=CONTROL, providers=providers, grants=[grant])


def write(folder: Path, plan: Plan) -> Path:
    file = folder / "plan.json"
    file.write_bytes(msgspec.json.encode(plan))
    return file


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_when_it_is_told_to_and_cuts_what_runs(fake: FakeProvider, how: signal.Signals):
    fake.fail_next(silence_after(1))
    with gateway(plan_for(fake.url)) as running:
        headers = {"x-api-key": "the-token"}
        body = {"model": "claude", "max_tokens": 1, "stream": True}
        async with (
            httpx2.AsyncClient(verify=NO_TLS) as client,
            client.stream("POST", running.url + "/v1/messages", headers=headers, json=body) as answer,
        ):
            chunks = answer.aiter_bytes()
            await anext(chunks)
            running.process.send_signal(how)
            assert b'"llm.token"' in await anext(chunks)
            with pytest.raises(httpx2.RemoteProtocolError):
                await anext(chunks)
        assert running.wait() == 0
    (started,) = running.all(Started)
    (finished,) = running.all(Finished)
    assert (started.agent, finished.outcome, finished.exit) == ("gateway", Outcome.SUBMITTED, 0)
    (usage,) = running.all(Usage)
    assert usage.input_tokens == 100
    assert running.all(CallFailed) == []


async def test_it_listens_at_a_socket_file(fake: FakeProvider, tmp_path: Path):
    path = str(tmp_path / "gateway")
    with gateway(plan_for(fake.url), "--unix", path) as running:
        assert running.address == path
        async with httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(uds=path, verify=NO_TLS)) as client:
            answer = await client.post(
                "http://gateway/v1/responses",
                headers={"authorization": "bearer the-token"},
                json={"model": "gpt", "input": "Hi."},
            )
    assert answer.status_code == 200


def test_it_ends_with_its_parent(tmp_path: Path):
    file = write(tmp_path, plan_for("http://127.0.0.1:1"))
    arguments = ["--plan", str(file), "--listen", "127.0.0.1:0", "--with-parent"]
    parent = (
        "import subprocess, sys;"
        f"gateway = subprocess.Popen([sys.executable, '-m', 'agent_image.gateway', *{arguments!r}]);"
        "sys.stdin.read(1)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), **KEYS},
    ) as process:
        running = GatewayProcess(process)
        assert running.address
        process.kill()
        running.wait()
    assert_well_told(running)  # its output has an end, so nobody has it open


def test_it_ends_when_nobody_reads_its_events(fake: FakeProvider, tmp_path: Path):
    with start("--plan", str(write(tmp_path, plan_for(fake.url))), "--listen", "127.0.0.1:0") as process:
        assert process.stdout
        assert process.stderr
        url = "http://" + process.stderr.readline().split()[-1].decode()
        process.stdout.readline()
        process.stdout.close()
        headers = {"authorization": "Bearer the-token"}
        HTTP.post(url + "/v1/responses", headers=headers, json={"model": "gpt", "input": "Hi."})
        assert process.wait(30) == 0
        assert process.stderr.read() == b""


def test_a_plan_that_is_wrong_is_told_in_one_sentence(tmp_path: Path):
    good = write(tmp_path, plan_for("http://127.0.0.1:1"))
    bad = tmp_path / "bad.json"
    bad.write_text('{"control_token": "x"}')
    for arguments, reason in [
        ((f"--plan={bad}",), f"the plan {bad} cannot be read: Object missing required field `providers`"),
        ((), "the following arguments are required: --plan"),
        ((f"--plan={good}", "--listen=nowhere"), "nowhere cannot be listened at: 'nowhere' is not HOST:PORT"),
        ((f"--plan={good}", "--listen=192.0.2.1:80"), "192.0.2.1:80 cannot be listened at: "),
        ((f"--plan={good}", "--unix=/nowhere/at/all"), "/nowhere/at/all cannot be listened at: "),
    ]:
        with start(*arguments) as process:
            stdout, stderr = process.communicate(timeout=30)
        assert (process.returncode, stdout) == (2, b"")
        assert stderr.decode().startswith(reason)
        assert stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"control_token": ""}, "a token is empty, or there twice"),
        ({"control_token": "the-token"}, "a token is empty, or there twice"),
        ({"providers": []}, "variation 7 has models of anthropic, openai, which is no provider"),
        ({"patience": {"retries": "many"}}, "Expected `int`, got `str` - at `$.patience.retries`"),
        ({"base_url": "ftp://127.0.0.1"}, "the base URL of anthropic is not one of http or https"),
        ({"base_url": "http://"}, "the base URL of anthropic is not one of http or https"),
        ({"base_url": "http://host:port"}, "the base URL of anthropic is not one of http or https"),
        ({"key_variable": "NO_KEY"}, "the environment has no key for anthropic in NO_KEY"),
        ({"key_variable": "BAD_KEY"}, "the key in BAD_KEY has characters that no key has"),
        ({"name": "openai"}, "two providers have the same name"),
    ],
)
def test_a_plan_is_checked(tmp_path: Path, change: dict[str, Any], reason: str):
    plan = msgspec.to_builtins(plan_for("http://127.0.0.1:1"))
    for name, value in change.items():
        (plan if name in plan or name == "patience" else plan["providers"][0])[name] = value
    file = tmp_path / "plan.json"
    file.write_bytes(msgspec.json.encode(plan))
    with pytest.raises(PlanError, match=reason.replace("$", r"\$")) as raised:
        read_plan(file, {**KEYS, "BAD_KEY": "fake-key\n\x7f"})
    assert_keyless(str(raised.value).encode())


def test_a_key_may_end_in_a_newline_as_files_do(tmp_path: Path):
    file = write(tmp_path, plan_for("http://127.0.0.1:1"))
    _, keys = read_plan(file, {"GOOD_KEY": "fake-key\n"})
    assert keys == {"anthropic": "fake-key", "openai": "fake-key"}
