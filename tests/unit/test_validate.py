"""Which budgets and which servers a request may have."""

from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from service.rules import read_prices
from service.run import Budget, McpServer
from service.settings import Settings, SettingsError
from tests.unit.specs import COMMAND, INVALID, SETTINGS, Body, refusal, spec_of


@pytest.mark.parametrize(
    ("body", "most_usd", "budget"),
    [
        ({"model": "gpt-5"}, 0, None),
        ({"model": "gpt-5", "budget": {"usd": 5}}, 0, Budget(usd=5)),
        ({"model": "gpt-5", "budget": {"tokens": 100, "reserve": 0.5}}, 0, Budget(tokens=100, reserve=0.5)),
        ({"model": "gpt-5", "budget": {"calls": 3}}, 0, Budget(calls=3)),
        ({"model": "gpt-5", "budget": {"calls": 30, "reserve": 0.9}}, 0, Budget(calls=30, reserve=0.9)),
        ({"model": "gpt-5", "budget": {"tokens": 30, "reserve": 0.9}}, 0, Budget(tokens=30, reserve=0.9)),
        ({"model": "gpt-5"}, 2, Budget(usd=2)),
        ({"model": "gpt-5", "budget": {"usd": 2}}, 2, Budget(usd=2)),
        ({"model": "gpt-5", "budget": {"calls": 9, "reserve": 0.1}}, 2, Budget(usd=2, calls=9, reserve=0.1)),
        ({}, 2, None),
        ({"budget": {"usd": 5}}, 2, Budget(usd=5)),
        ({"agents": [COMMAND], "budget": {"calls": 1}}, 2, Budget(calls=1)),
        ({"agents": [{}, {}, {"model": "gpt-5"}], "budget": {"calls": 1}}, 0, Budget(calls=1)),
    ],
)
async def test_a_budget_is_the_request_s_within_the_operator_s_where_models_are_asked(
    body: Body, most_usd: float, budget: Budget | None
):
    assert (await spec_of(body, structs.replace(SETTINGS, budget_usd=most_usd))).budget == budget


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"budget": {}}, INVALID, "budget"),
        ({"budget": {"reserve": 0.5}}, INVALID, "budget"),
        ({"budget": {"usd": None}}, INVALID, "budget"),
        ({"model": "gpt-5", "budget": {"usd": 2.01}}, INVALID, "budget.usd"),
        ({"model": "gpt-5", "budget": {"calls": 2}}, INVALID, "budget.calls"),
        ({"model": "gpt-5", "budget": {"calls": 29, "reserve": 0.9}}, INVALID, "budget.calls"),
        ({"model": "gpt-5", "budget": {"tokens": 2}}, INVALID, "budget.tokens"),
        ({"model": "gpt-5", "budget": {"tokens": 29, "reserve": 0.9}}, INVALID, "budget.tokens"),
        ({"model": "openai/new"}, "budget.unpriced", "model"),
        ({"model": "openai/new", "budget": {"calls": 9}}, "budget.unpriced", "model"),
        ({"agents": [{}, {"model": "gpt-oss/x"}], "budget": {"usd": 1}}, "budget.unpriced", "agents[1].model"),
    ],
)
async def test_a_budget_that_cannot_be_kept_is_refused(body: Body, code: str, field: str):
    assert (await refusal(body, structs.replace(SETTINGS, budget_usd=2)))[:2] == (code, field)


async def test_a_model_without_a_price_has_one_where_the_operator_says_so(tmp_path: Path):
    body: Body = {"model": "openai/new", "budget": {"usd": 1}}
    code, field, why = await refusal(body)
    assert (code, field) == ("budget.unpriced", "model")
    assert "openai/new" in why
    assert "PRICES_FILE" in why
    assert (await spec_of({"model": "openai/new", "budget": {"tokens": 3}})).budget == Budget(tokens=3)
    file = tmp_path / "prices.json"
    file.write_text('{"taken": "2026-01-31", "source": "ours", "models": {"new": {"input": 1, "output": 2}}}')
    settings = structs.replace(SETTINGS, prices_file=str(file))
    for priced in (body, {**body, "model": "gpt-5"}):
        assert (await spec_of(priced, settings)).budget == Budget(usd=1)


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b'{"models": {"x": {"input": "free"}}}', b"\xff"])
def test_a_file_of_prices_that_is_none_is_refused_at_the_start_by_its_name(tmp_path: Path, content: bytes | None):
    file = tmp_path / "prices.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"^PRICES_FILE: .*prices\.json"):
        read_prices(structs.replace(SETTINGS, prices_file=str(file)))


@pytest.mark.parametrize("model", ["claude-sonnet-5-5", "gpt-5", "gpt-4", "o3"])
def test_what_agents_ask_by_default_and_what_is_common_has_a_price(model: str):
    assert read_prices(Settings()).price(model) is not None


async def test_servers_of_each_kind_are_kept_as_they_were_sent():
    servers = {
        "files": {"serve": "files"},
        "Git-1": {"serve": "git"},
        "docs_2": {"url": "https://mcp.test/docs?team=1"},
        "database": {"command": ["toolbox", "--stdio", ""], "env": {"DB_URL": "postgres://db", "EMPTY": ""}},
    }
    spec = await spec_of({"mcp_servers": servers})
    assert spec.mcp_servers == msgspec.convert(servers, dict[str, McpServer])
    assert msgspec.json.decode(msgspec.json.encode(spec.mcp_servers)) == servers


@pytest.mark.parametrize(
    ("servers", "field"),
    [
        ({"": {"serve": "git"}}, "mcp_servers"),
        ({"a b": {"serve": "git"}}, "mcp_servers"),
        ({"a\n": {"serve": "git"}}, "mcp_servers"),
        ({"x" * 41: {"serve": "git"}}, "mcp_servers"),
        ({"x": {}}, "mcp_servers.x"),
        ({"x": {"serve": "git", "url": "http://a.test"}}, "mcp_servers.x"),
        ({"x": {"command": ["a"], "serve": "git"}}, "mcp_servers.x"),
        ({"x": {"serve": "git", "env": {"A": "b"}}}, "mcp_servers.x.env"),
        ({"x": {"url": "http://a.test", "env": {"A": "b"}}}, "mcp_servers.x.env"),
        ({"x": {"command": ["a"], "env": {"A=B": "b"}}}, "mcp_servers.x.env"),
        ({"x": {"command": ["a"], "env": {"": "b"}}}, "mcp_servers.x.env"),
        ({"x": {"command": ["a"], "env": {"A": "a\0"}}}, "mcp_servers.x.env.A"),
        ({"x": {"serve": "web"}}, "mcp_servers.x.serve"),
        ({"x": {"command": "ls -l"}}, "mcp_servers.x.command"),
        ({"x": {"command": ["ls", 1]}}, "mcp_servers.x.command[1]"),
        ({"x": {"serve": "git", "port": 1}}, "mcp_servers.x"),
        ({"x": "git"}, "mcp_servers.x"),
        ({"x": {"command": [" "]}}, "mcp_servers.x.command[0]"),
        ({"x": {"command": ["a", "b\0"]}}, "mcp_servers.x.command[1]"),
        ({"x": {"url": "ftp://a.test"}}, "mcp_servers.x.url"),
        ({"x": {"url": "a.test"}}, "mcp_servers.x.url"),
        ({"x": {"url": "https://user:secret@a.test"}}, "mcp_servers.x.url"),
        ({"x": {"url": "https://a.test/\0"}}, "mcp_servers.x.url"),
        ({str(index): {"command": ["x" * 20_000]} for index in range(6)}, "mcp_servers"),
    ],
)
async def test_a_server_that_cannot_be_is_refused_by_its_name(servers: Body, field: str):
    code, found, why = await refusal({"mcp_servers": servers})
    assert (code, found) == (INVALID, field)
    assert "secret" not in why


async def test_a_refused_server_comes_with_what_one_may_be():
    why = (await refusal({"mcp_servers": {"x": {"serve": "web"}}}))[2]
    assert "mcp_servers.x.serve" in why
    assert "files or git" in why
