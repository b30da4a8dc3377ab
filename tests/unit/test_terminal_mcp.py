"""Which MCP servers a `dagger call` may give to its agents."""

import json
from typing import Any

import pytest

from agent_image.mcp.servers import read_servers
from aideator.mcp import check_servers

GOOD = {
    "program": {"command": ["npx", "server"], "env": {"HOME": "/tmp"}},
    "remote": {"url": "https://example.com/mcp"},
    "own": {"serve": "git"},
}


def test_servers_that_the_harness_takes_are_taken():
    check_servers("")
    check_servers(json.dumps(GOOD))
    assert read_servers(json.dumps(GOOD)).keys() == GOOD.keys()


@pytest.mark.parametrize(
    "server",
    [
        1, {}, {"command": []}, {"command": "npx"}, {"command": [1]}, {"command": ["a"], "url": "http://a"},
        {"command": ["a"], "env": {"A": 1}}, {"command": ["a"], "env": []}, {"url": "http://a", "env": {"A": "1"}},
        {"url": 1}, {"url": "ftp://a"}, {"serve": "other"}, {"serve": ["git"]}, {"serve": "git", "other": 1},
        {"serve": "git", "url": None},
    ],
)  # fmt: skip
def test_a_server_that_is_none_is_refused_by_its_name(server: Any):
    with pytest.raises((ValueError, TypeError), match=r"^--mcp-servers: 'wrong' "):
        check_servers(json.dumps({**GOOD, "wrong": server}))


@pytest.mark.parametrize("text", ["{", "[]", '"files"', "null"])
def test_what_is_no_object_of_servers_is_refused(text: str):
    with pytest.raises((ValueError, TypeError), match=r"^--mcp-servers "):
        check_servers(text)
