"""What of the bare engine can be held to its promise without root, Go or an engine."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bare_engine import MAIN, BareEngineError, Instance, client_env
from tests.bare_engine.binaries import TOOLS
from tests.bare_engine.client import other_engine, write_cli
from tests.bare_engine.instance import VERSION
from tests.bare_engine.leftovers import MARK, end_processes, rules_of
from tests.bare_engine.oci import blobs, manifest_digest, write_layout
from tests.bare_engine.process import Process
from tests.bare_engine.sdk import PYTHON_SDK
from tests.bare_engine.step import Step

LISTING = r"""
-P FORWARD ACCEPT
-N CNI-FORWARD
-N CNI-1d6140d44ebd4c0fc5260de8
-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD
-A CNI-FORWARD -d 10.88.0.2/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A CNI-FORWARD -s 10.87.0.2/32 -j ACCEPT
-A POSTROUTING -s 10.88.0.2/32 -m comment --comment "name: \"mine\" id: \"x\"" -j CNI-1d6140d44ebd4c0fc5260de8
-A POSTROUTING -s 10.87.0.2/32 -m comment --comment "name: \"mine2\" id: \"y\"" -j CNI-4205b670c428164638e66679
-A CNI-1d6140d44ebd4c0fc5260de8 ! -d 224.0.0.0/4 -m comment --comment "name: \"mine\" id: \"x\"" -j MASQUERADE
-A INPUT -s 0.0.0.0/0 -j ACCEPT
"""


@pytest.fixture
def process(tmp_path: Path):
    process = Process(identity=tmp_path / "run" / "pid", log=tmp_path / "logs" / "log")
    yield process
    process.signal(signal.SIGKILL)
    assert process.ended_within(5)


@pytest.fixture
def mine(tmp_path: Path) -> Instance:
    return Instance(name=f"test-{os.getpid()}", root=tmp_path, network_name="mine", network_cidr="10.88.0.0/16")


def test_a_process_in_the_background_is_known_until_it_ends(process: Process):
    pid = process.spawn(["sleep", "60"], os.environ)
    assert process.pid() == pid
    assert os.getsid(pid) == pid
    assert process.signal(signal.SIGTERM)
    assert process.ended_within(5)
    assert process.pid() is None
    assert not process.signal(signal.SIGTERM)


def test_a_process_id_given_out_again_is_not_mistaken_for_ours(process: Process):
    process.identity.parent.mkdir()
    process.identity.write_text(f"{os.getpid()} 1\n")
    assert process.pid() is None
    assert not process.signal(signal.SIGKILL)


def test_a_failure_names_the_log_and_quotes_its_end(process: Process):
    process.spawn(["sh", "-c", "echo first; echo port taken >&2"], os.environ)
    assert process.ended_within(5)
    message = str(process.failure("It ended"))
    assert str(process.log) in message
    assert message.endswith("port taken")


@pytest.mark.parametrize("change", ["nothing", "an input", "a result gone"])
def test_a_step_is_done_again_only_when_it_must(tmp_path: Path, change: str):
    done: list[str] = []
    source, result = tmp_path / "source", tmp_path / "result"

    def act() -> None:
        done.append("act")
        result.touch()

    source.write_text("one")
    step = Step(name="step", does="act", inputs=(source, "word"), results=(result,))
    step.run(act, stamps=tmp_path / "stamps")
    if change == "an input":
        source.write_text("two")
    elif change == "a result gone":
        result.unlink()
    step.run(act, stamps=tmp_path / "stamps")
    assert len(done) == (1 if change == "nothing" else 2)


def test_a_step_that_failed_is_tried_again(tmp_path: Path):
    step = Step(name="step", does="act", inputs=("word",), results=())

    def fail() -> None:
        raise BareEngineError("no network")

    with pytest.raises(BareEngineError):
        step.run(fail, stamps=tmp_path)
    done: list[str] = []
    step.run(lambda: done.append("act"), stamps=tmp_path)
    assert done == ["act"]


def test_a_layout_names_its_blobs_by_their_digests(tmp_path: Path):
    layer, layout = tmp_path / "layer.tar", tmp_path / "layout"
    layer.write_bytes(b"a tar file")
    write_layout(layout, [layer], env={"PATH": "/bin"}, command=["sh"])
    for blob in blobs(layout).iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    manifest = json.loads((blobs(layout) / manifest_digest(layout).removeprefix("sha256:")).read_text())
    assert manifest["layers"][0]["digest"] == f"sha256:{hashlib.sha256(b'a tar file').hexdigest()}"


def test_only_the_rules_of_the_network_are_its_leftovers(mine: Instance):
    chains = [rule[0] for rule in rules_of(mine, LISTING)]
    assert chains == ["CNI-FORWARD", "POSTROUTING", "CNI-1d6140d44ebd4c0fc5260de8"]


def test_only_processes_with_the_mark_of_the_engine_are_ended(mine: Instance, tmp_path: Path):
    theirs = Process(identity=tmp_path / "theirs", log=tmp_path / "log")
    ours = Process(identity=tmp_path / "ours", log=tmp_path / "log")
    theirs.spawn(["sleep", "60"], {**os.environ, MARK: f"{mine.name}-2"})
    ours.spawn(["sleep", "60"], {**os.environ, MARK: mine.name})
    try:
        end_processes(mine)
        assert ours.ended_within(5)
        assert theirs.pid() is not None
    finally:
        theirs.signal(signal.SIGKILL)
        assert theirs.ended_within(5)


def run_wrapper(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the CLI that `write_cli` wrote, with a CLI in PATH that prints the engine it is to use."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    write_cli(tmp_path / "bin", env_file=tmp_path / "env")
    path = f"{tmp_path / 'bin'}:{tmp_path / 'path'}:/usr/bin:/bin"
    command = [tmp_path / "bin" / "dagger", "a b"]
    return subprocess.run(command, env={"PATH": path, **environment}, capture_output=True, text=True, check=False)


def install_fake_cli(folder: Path) -> Path:
    folder.mkdir()
    fake = folder / "dagger"
    fake.write_text('#!/bin/sh\necho "$_EXPERIMENTAL_DAGGER_RUNNER_HOST" "$0" "$1"\n')
    fake.chmod(0o755)
    return fake


def test_the_cli_finds_our_engine_unless_the_caller_has_one(tmp_path: Path):
    fake = install_fake_cli(tmp_path / "fake")
    lines = (f"_EXPERIMENTAL_DAGGER_RUNNER_HOST=unix:///ours\n_EXPERIMENTAL_DAGGER_CLI_BIN={fake}\n",)
    (tmp_path / "env").write_text("".join(lines))
    theirs = install_fake_cli(tmp_path / "path")
    assert run_wrapper(tmp_path).stdout == f"unix:///ours {fake} a b\n"
    answer = run_wrapper(tmp_path, _EXPERIMENTAL_DAGGER_RUNNER_HOST="tcp://theirs")
    assert answer.stdout == f"tcp://theirs {theirs} a b\n"


def test_the_cli_says_in_one_sentence_that_there_is_none(tmp_path: Path):
    if any((Path(folder) / "dagger").exists() for folder in ("/usr/bin", "/bin")):
        pytest.skip("this machine has a CLI")
    answer = run_wrapper(tmp_path)
    assert answer.returncode == 127
    assert answer.stderr.count("\n") == 1


def test_our_own_variables_are_not_another_engine():
    assert other_engine(MAIN, {**client_env(MAIN), "PATH": ""}) in (None, other_engine(MAIN, {}))
    assert other_engine(MAIN, {"_EXPERIMENTAL_DAGGER_RUNNER_HOST": "tcp://10.0.0.1:1234"}) is not None


def test_one_version_stands_in_every_file():
    assert f"github.com/dagger/dagger {VERSION}\n" in (TOOLS / "go.mod").read_text()
    assert f'"dagger-io=={VERSION[1:]}"' in (PYTHON_SDK / "runtime" / "main.go").read_text()
    assert json.loads((PYTHON_SDK / "runtime" / "dagger.json").read_text())["engineVersion"] == VERSION


def test_it_needs_the_standard_library_alone():
    package = Path(__file__).parents[1] / "bare_engine"
    for path in set(package.glob("*.py")) - set(package.glob("test_*.py")):
        for name in re.findall(r"^(?:from|import) (\w+)", path.read_text(), re.MULTILINE):
            assert name == "tests" or name in sys.stdlib_module_names, path
