"""Which provider a model of a `dagger call` is asked of, and what its gateway is told."""

from collections.abc import Sequence

import msgspec
import pytest
from dagger import dag

from agent_image.gateway.plan import Plan
from aideator.assignment import Assignment
from aideator.budget import Budget
from aideator.plan import plan
from aideator.providers import OPENAI_URL, Provider, anthropic, gpt_oss, named, openai, provider_of

KEY = dag.secret("env://NONE")
"""A reference alone: nobody asks an engine for it."""
OPENAI = openai(OPENAI_URL, KEY, "")
PROVIDERS = (anthropic("https://api.anthropic.com", KEY), OPENAI, gpt_oss("", None))
WITH_GPT_OSS = (*PROVIDERS[:2], gpt_oss("http://models:11434/v1", None))
CODEX = Assignment(agent="codex", model="openai/gpt-5")


def asking(model: str) -> Assignment:
    return Assignment(model=model)


@pytest.mark.parametrize(
    ("model", "providers", "found"),
    [
        ("claude-opus-5", PROVIDERS, "anthropic/claude-opus-5"),
        ("gpt-5", PROVIDERS, "openai/gpt-5"),
        ("o3", PROVIDERS, "openai/o3"),
        ("o4-mini", PROVIDERS, "openai/o4-mini"),
        ("chatgpt-4o", PROVIDERS, "openai/chatgpt-4o"),
        ("codex-mini", PROVIDERS, "openai/codex-mini"),
        ("gpt-oss-20b", WITH_GPT_OSS, "gpt-oss/gpt-oss-20b"),
        ("qwen3-coder", WITH_GPT_OSS, "gpt-oss/qwen3-coder"),
        ("gpt-oss/openai/gpt-oss-20b", WITH_GPT_OSS, "gpt-oss/openai/gpt-oss-20b"),
        ("scripted", PROVIDERS, "scripted"),
        ("", PROVIDERS, ""),
    ],
)
def test_a_name_whose_provider_is_clear_needs_none(model: str, providers: Sequence[Provider], found: str):
    assert named(asking(model), providers).model == found


@pytest.mark.parametrize("model", ["qwen3-coder", "other/model", "openai/", "gpt-oss/x", "/gpt-5"])
def test_a_model_that_nobody_has_is_refused_with_those_who_have_some(model: str):
    with pytest.raises(ValueError, match=r"provider/name, one of anthropic, openai$"):
        named(asking(model), PROVIDERS)


@pytest.mark.parametrize(
    ("url", "wire", "spoken"),
    [
        (OPENAI_URL, "", "responses"),
        ("https://api.openai.com/", "", "responses"),
        ("http://elsewhere/v1", "", "chat"),
        ("http://elsewhere/v1", "responses", "responses"),
        (OPENAI_URL, "chat", "chat"),
    ],
)
def test_a_server_in_openai_s_place_speaks_chat_unless_it_is_said(url: str, wire: str, spoken: str):
    assert openai(url, KEY, wire).wire == spoken


def test_openai_speaks_nothing_else():
    with pytest.raises(ValueError, match=r"^--openai-wire "):
        openai(OPENAI_URL, KEY, "messages")


def test_codex_asks_a_provider_of_responses_alone():
    assert provider_of(CODEX, PROVIDERS) is OPENAI
    with pytest.raises(ValueError, match=r"codex speaks responses alone, and openai speaks chat.*--openai-wire"):
        provider_of(CODEX, [openai("http://elsewhere", KEY, "")])
    with pytest.raises(ValueError, match="codex speaks responses alone, and gpt-oss speaks chat"):
        provider_of(Assignment(agent="codex", model="gpt-oss/x"), WITH_GPT_OSS)


def test_claude_code_asks_a_provider_of_messages_alone():
    with pytest.raises(ValueError, match="claude-code speaks messages alone, and openai speaks responses"):
        provider_of(Assignment(agent="claude-code", model="openai/gpt-5"), PROVIDERS)


def test_a_model_without_a_key_is_refused_with_the_flag_that_gives_it():
    with pytest.raises(ValueError, match=r"give --openai-api-key$"):
        provider_of(CODEX, [openai(OPENAI_URL, None, "")])
    assert provider_of(asking("gpt-oss/x"), WITH_GPT_OSS).key is None


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1:1", "127.1.2.3", "[::1]:1", "LocalHost"])
def test_a_provider_on_this_machine_is_refused_with_the_way_to_it(host: str):
    with pytest.raises(ValueError, match=r"^--gpt-oss-url: .*--model-server tcp://localhost:PORT"):
        provider_of(asking("gpt-oss/x"), [gpt_oss(f"http://{host}/v1", None)])


def planned(*assignments: Assignment, budget: Budget | None = None) -> Plan:
    told = plan(
        assignments,
        WITH_GPT_OSS,
        tokens=[f"token-{index}" for index in range(len(assignments))],
        variables={"anthropic": "KEY_0", "openai": "KEY_1"},
        budget=budget or Budget(),
        timeout_s=60,
    )
    return msgspec.convert(told, Plan)


def test_a_variation_that_asks_no_model_has_neither_a_grant_nor_a_share():
    told = planned(asking("scripted"), CODEX, asking(""), asking("gpt-oss/a/b"), budget=Budget(calls=5))
    assert [(grant.variation, grant.token, grant.models) for grant in told.grants] == [
        (1, "token-1", {"gpt-5": "openai"}),
        (3, "token-3", {"a/b": "gpt-oss"}),
    ]
    assert [grant.share.calls for grant in told.grants] == [2, 2]


def test_a_gateway_knows_keys_by_their_flags_and_a_model_server_by_its_own_name():
    first, _, server = planned(CODEX).providers
    assert (first.key_name, first.key_variable, first.headers) == ("--anthropic-api-key", "KEY_0", {})
    assert (server.base_url, server.key_variable) == ("http://models:11434", "")
    assert (server.address, server.headers) == ("the model server", {"host": "localhost:11434"})
