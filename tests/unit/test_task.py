from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_image.task import Access, AgentKind, TaskError, read_task


def test_the_environment_is_enough():
    environment = {"PROMPT": "p", "RUN_ID": "r", "VARIATION_ID": "4", "AGENT_TIMEOUT": "1.5"}
    task = read_task([], environment)
    assert (task.agent, task.model, task.prompt) == (AgentKind.BUILTIN, "scripted", "p")
    assert (task.run_id, task.variation, task.timeout_s) == ("r", 4, 1.5)
    assert (task.max_steps, task.directory, task.result, task.setup) == (50, Path(), None, ())


def test_an_argument_wins_over_its_variable():
    environment = {"PROMPT": "p", "AGENT": "builtin", "MODEL": "m", "COMMAND": "c", "AGENT_TIMEOUT": "1"}
    arguments = ["--prompt=P", "--agent=command", "--model=M", "--command=C", "--timeout=2"]
    task = read_task(arguments, environment)
    assert (task.prompt, task.agent, task.model, task.command, task.timeout_s) == ("P", "command", "M", "C", 2.0)


def test_an_empty_variable_is_none():
    task = read_task([], {"PROMPT": "p", "AGENT": "", "MODEL": "", "AGENT_TIMEOUT": "", "VARIATION_ID": ""})
    assert (task.agent, task.model, task.timeout_s, task.variation) == ("builtin", "scripted", 300.0, 0)


@given(st.text(min_size=1))
def test_a_value_may_be_anything(value: str):
    task = read_task(["--agent=command", "--command=x", f"--prompt={value}", f"--setup={value}"], {})
    assert (task.prompt, task.setup) == (value, (value,))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "there is no prompt: give --prompt or PROMPT"),
        (["--prompt= \n"], "there is no prompt: give --prompt or PROMPT"),
        (
            ["--prompt=p", "--agent=aider"],
            "there is no agent 'aider'; there are: builtin, claude-code, codex, command",
        ),
        (["--agent=codex", "--model=m"], "there is no prompt: give --prompt or PROMPT"),
        (["--prompt=p", "--agent=codex"], "the agent `codex` needs a model: give --model or MODEL"),
        (
            ["--prompt=p", "--agent=claude-code", "--model=m", "--wire=messages"],
            "the model 'm' needs a gateway: give --wire, AIDEATOR_GATEWAY and AIDEATOR_TOKEN",
        ),
        (["--serve=mail"], "argument --serve: invalid choice: 'mail' (choose from 'files', 'git')"),
        (["--prompt=p", '--mcp={"a": {}}'], "the MCP server 'a' needs one of command, url and serve"),
        (
            ["--prompt=p", "--model=gpt"],
            "the model 'gpt' needs a gateway: give --wire, AIDEATOR_GATEWAY and AIDEATOR_TOKEN",
        ),
        (["--agent=command"], "the agent `command` needs a command: give --command or COMMAND"),
        (["--prompt=p", "--max-steps=0"], "--max-steps has to be a whole number, 1 or more, not '0'"),
        (["--prompt=p", "--max-steps=²"], "--max-steps has to be a whole number, 1 or more, not '²'"),
        (["--prompt=p", "--unknown"], "unrecognized arguments: --unknown"),
        (["--pro=p"], "unrecognized arguments: --pro=p"),
        (["--prompt"], "argument --prompt: expected one argument"),
    ],
)
def test_what_makes_no_task_is_said_in_one_sentence(arguments: list[str], sentence: str):
    with pytest.raises(TaskError) as error:
        read_task(arguments, {})
    assert str(error.value) == sentence


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1e9", "five", "1s"])
def test_a_timeout_is_a_positive_number(seconds: str):
    with pytest.raises(TaskError, match="the timeout has to be a number of seconds"):
        read_task(["--prompt=p", f"--timeout={seconds}"], {})


@pytest.mark.parametrize("variation", ["-1", "1.5", "../0", "0/../1", "9" * 5000])
def test_a_variation_is_a_number(variation: str):
    with pytest.raises(TaskError, match="VARIATION_ID has to be a whole number"):
        read_task(["--prompt=p"], {"VARIATION_ID": variation})


GATEWAY = {"AIDEATOR_GATEWAY": "http://gateway:8080/", "AIDEATOR_TOKEN": "t"}


@pytest.mark.parametrize(
    ("agent", "wire"),
    [("builtin", "chat"), ("claude-code", "messages"), ("codex", "responses"), ("codex", "chat"), ("command", "chat")],
)
def test_an_agent_asks_a_model_that_speaks_its_language(agent: str, wire: str):
    arguments = [f"--agent={agent}", "--prompt=p", "--model=m", f"--wire={wire}", "--command=c"]
    task = read_task(arguments, GATEWAY)
    assert (task.agent, task.model, task.wire) == (agent, "m", wire)
    assert task.access == Access("http://gateway:8080", "t")


@pytest.mark.parametrize(
    ("agent", "wire", "sentence"),
    [
        ("claude-code", "chat", "the agent `claude-code` speaks messages, and the model 'm' chat"),
        ("claude-code", "responses", "the agent `claude-code` speaks messages, and the model 'm' responses"),
        ("codex", "messages", "the agent `codex` speaks responses, and the model 'm' messages"),
    ],
)
def test_an_agent_cannot_ask_a_model_in_another_language(agent: str, wire: str, sentence: str):
    with pytest.raises(TaskError) as error:
        read_task([f"--agent={agent}", "--prompt=p", "--model=m", f"--wire={wire}"], GATEWAY)
    assert str(error.value) == sentence


def test_a_server_needs_no_prompt_and_is_no_agent():
    task = read_task(["--serve=git"], {"AGENT": "of the image"})
    assert (task.serve, task.agent) == ("git", "command")
