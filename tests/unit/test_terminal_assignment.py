"""Which agents a `dagger call` may ask for."""

import json
from typing import Any

import pytest

from aideator.assignment import Assignment, assigned, check_count, read_agents

OWN = Assignment(agent="command", command="make")


def test_a_matrix_has_as_many_of_each_as_it_says():
    text = json.dumps([{"agent": "command", "command": "make", "count": 2}, {"temperature": 2}])
    assert read_agents(text) == [OWN, OWN, Assignment(model="scripted", temperature=2)]


def test_every_agent_but_a_command_has_a_model_where_none_is_named():
    assert assigned(Assignment(), "--").model == "scripted"
    assert assigned(Assignment(agent="claude-code"), "--").model.startswith("anthropic/")
    assert assigned(Assignment(agent="codex"), "--").model.startswith("openai/")
    assert not assigned(OWN, "--").model


@pytest.mark.parametrize("temperature", ["NaN", "Infinity", "-Infinity", "-0.1", "2.1"])
def test_a_temperature_that_is_none_is_refused_by_where_it_stands(temperature: str):
    with pytest.raises(ValueError, match=r"^--agents\[1\]\.temperature is a number from 0 to 2, not "):
        read_agents(f'[{{}}, {{"temperature": {temperature}}}]')
    with pytest.raises(ValueError, match=r"^--temperature is a number from 0 to 2, not "):
        assigned(Assignment(temperature=float(temperature)), "--")


@pytest.mark.parametrize(
    ("entries", "where"),
    [
        ({}, "--agents"),
        ([], "--agents"),
        ([1], r"--agents\[0\]"),
        ([{"agent": "other"}], r"--agents\[0\]\.agent"),
        ([{"agent": "builtin", "command": "make"}], r"--agents\[0\]\.command"),
        ([{"agent": "command", "command": " "}], r"--agents\[0\]\.command"),
        ([{"agent": "codex", "temperature": 1}], r"--agents\[0\]\.temperature"),
        ([{"agent": "codex", "model": "scripted"}], r"--agents\[0\]\.model"),
        ([{"temperature": "hot"}], r"--agents\[0\]\.temperature"),
        ([{"other": 1}], r"--agents\[0\]"),
        ([{"count": 0}], r"--agents\[0\]\.count"),
        ([{"count": True}], r"--agents\[0\]\.count"),
        ([{"count": 1001}], r"--agents\[0\]\.count"),
        ([{"count": 600}, {"count": 600}], "--agents"),
    ],
)
def test_what_a_matrix_cannot_have_is_refused_by_where_it_stands(entries: Any, where: str):
    with pytest.raises((ValueError, TypeError), match=f"^{where}[: ]"):
        read_agents(json.dumps(entries))


@pytest.mark.parametrize("variations", [-1, 0, 1001])
def test_a_run_has_one_variation_at_least_and_not_too_many(variations: int):
    with pytest.raises(ValueError, match="--variations"):
        check_count(variations, "--variations")
