"""The harness as a process, from outside: what it can be told, and what its commands are given."""

import json
import os
from pathlib import Path

from harness_process import run, run_command, start

from agent_image.events import Outcome, Started, ToolCalled, ToolReturned


def test_it_runs_alone_by_the_names_of_the_environment(tmp_path: Path):
    variables = {"RUN_ID": "r", "VARIATION_ID": "3", "PROMPT": "look\naround"}
    printed = run(directory=tmp_path, variables=variables)
    assert printed.events[0] == Started(n=1, at=printed.events[0].at, agent="builtin", model="scripted")
    assert printed.finished.outcome is Outcome.SUBMITTED
    assert "> look\n> around\n" in (tmp_path / "AIDEATOR-3.md").read_text()


def test_a_bad_argument_is_one_sentence_and_nothing_starts(tmp_path: Path):
    with start("--agent=command", "--command=touch began", "--timeout=never", directory=tmp_path) as process:
        stdout, stderr = process.communicate(timeout=10)
    assert process.returncode == 2
    assert stdout == b""
    assert stderr == b"the timeout has to be a number of seconds above 0, up to 1000000, not 'never'\n"
    assert not (tmp_path / "began").exists()


def test_it_explains_itself(tmp_path: Path):
    with start("--help", directory=tmp_path) as process:
        stdout, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert all(word in stdout for word in (b"--prompt", b"AGENT_TIMEOUT", b"--setup", b"124 timed out"))


def test_the_prompt_reaches_a_command_byte_for_byte(tmp_path: Path):
    prompt = "-x\n%s ${x} {{7*7}} $(id) 'é' \"\\ \udcff"
    for arguments, variables in (([f"--prompt={prompt}"], {"PROMPT": "another"}), ([], {"PROMPT": prompt})):
        command = 'printf %s "$PROMPT" > got'
        run("--agent=command", f"--command={command}", *arguments, directory=tmp_path, variables=variables)
        assert (tmp_path / "got").read_bytes() == os.fsencode(prompt)


def test_commands_get_the_environment_without_what_is_ours(tmp_path: Path):
    variables = {
        "AGENT": "command",
        "COMMAND": "env",
        "MODEL": "m",
        "AGENT_TIMEOUT": "9",
        "RUN_ID": "r1",
        "VARIATION_ID": "2",
        "LD_LIBRARY_PATH": "/opt/aideator/lib",
        "TEAM_SETTING": "kept",
    }
    lines = set(run(directory=tmp_path, variables=variables).output().decode().splitlines())
    assert {"RUN_ID=r1", "VARIATION_ID=2", "TEAM_SETTING=kept", "PROMPT="} <= lines
    ours = ("AGENT=", "COMMAND=", "MODEL=", "AGENT_TIMEOUT=", "LD_LIBRARY_PATH=")
    assert not [line for line in lines if line.startswith(ours)]


def test_commands_have_nothing_to_read_and_a_session_of_their_own(tmp_path: Path):
    printed = run_command("cat; cut -d ' ' -f 6 /proc/$$/stat; echo $$", directory=tmp_path)
    session, own = printed.output().split()
    assert session == own


def test_a_repository_cannot_replace_the_harness(tmp_path: Path):
    for name in ("agent_image", "anyio"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('taken over')")
        (tmp_path / name / "__main__.py").write_text("raise SystemExit('taken over')")
    for name in ("msgspec", "json", "sitecustomize", "usercustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken over')")
    assert run_command("echo fine", directory=tmp_path).output() == b"fine\n"


def test_a_setup_run_stops_at_the_first_command_that_fails(tmp_path: Path):
    commands = ["--setup=echo one", "--setup=echo two; exit 4", "--setup=touch three"]
    printed = run(*commands, directory=tmp_path)
    assert printed.events[0] == Started(n=1, at=printed.events[0].at, agent="setup")
    assert [json.loads(event.text) for event in printed.all(ToolCalled)] == [
        {"command": "echo one"},
        {"command": "echo two; exit 4"},
    ]
    assert [event.ok for event in printed.all(ToolReturned)] == [True, False]
    assert printed.output() == b"one\ntwo\n"
    assert printed.finished.reason == "the setup command 'echo two; exit 4' ended with status 4"
    assert (printed.status, (tmp_path / "three").exists()) == (3, False)


def test_a_setup_run_that_works_has_submitted(tmp_path: Path):
    printed = run("--setup=echo $((6 * 7)) > answer", "--setup=cat answer", directory=tmp_path)
    assert (printed.status, printed.output()) == (0, b"42\n")
