"""Which agents a request may ask for, and which it gets."""

import pytest
from msgspec import structs

from service.request import EXAMPLES
from service.run import Assignment
from tests.unit.specs import COMMAND, INVALID, SETTINGS, Body, refusal, spec_of

CLAUDE = Assignment(agent="claude-code", model="anthropic/claude-sonnet-5-5")
CODEX = Assignment(agent="codex", model="openai/gpt-6.1-sol")
OWN = Assignment(agent="command", model="", command="make")
GPT = Assignment(model="openai/gpt-5")

AGENTS: list[tuple[Body, list[Assignment]]] = [
    ({}, [Assignment()] * 3),
    ({"variations": 2}, [Assignment()] * 2),
    ({"variations": 1, "model": "scripted", "temperature": 0}, [Assignment(temperature=0.0)]),
    ({"variations": 1, "model": "gpt-5", "temperature": 2}, [structs.replace(GPT, temperature=2.0)]),
    ({"variations": 1, "model": "gpt-oss/openai/gpt-oss-20b"}, [Assignment(model="gpt-oss/openai/gpt-oss-20b")]),
    ({"variations": 1, "agent": "claude-code"}, [CLAUDE]),
    ({"variations": 1, "agent": "codex"}, [CODEX]),
    ({"variations": 1, "agent": "claude-code", "model": "claude-opus-5"}, [
        structs.replace(CLAUDE, model="anthropic/claude-opus-5"),
    ]),
    ({"variations": 1, **COMMAND}, [OWN]),
    ({"variations": 1, **COMMAND, "model": "scripted"}, [OWN]),
    ({"variations": 1, **COMMAND, "model": "gpt-5"}, [structs.replace(OWN, model="openai/gpt-5")]),
    ({"variations": 1, "use_claude_code": True}, [CLAUDE]),
    ({"variations": 1, "use_claude_code": True, "agent": "claude-code"}, [CLAUDE]),
    ({"variations": 1, "use_claude_code": False, "agent_config": {"model": "gpt-4", "temperature": 0.7}}, [
        Assignment(model="openai/gpt-4", temperature=0.7),
    ]),
    ({"variations": 1, "use_claude_code": True, "agent_config": {"model": "claude-haiku-4-5"}}, [
        structs.replace(CLAUDE, model="anthropic/claude-haiku-4-5"),
    ]),
    ({"variations": 1, "model": "gpt-5", "agent_config": {"model": "gpt-4"}}, [GPT]),
    ({"agents": [{}]}, [Assignment()]),
    ({"agents": [
        {"agent": "claude-code", "count": 2, "prompt_suffix": "be brief"}, {"agent": "codex"},
        {"model": "o3", "temperature": 1}, {"agent": "command", "command": "make"},
    ]}, [
        *[structs.replace(CLAUDE, prompt_suffix="be brief")] * 2, CODEX,
        Assignment(model="openai/o3", temperature=1.0), OWN,
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("body", "agents"), AGENTS)
async def test_every_variation_gets_its_agent_and_the_model_with_its_provider(body: Body, agents: list[Assignment]):
    spec = await spec_of(body)
    assert spec.agents == agents
    assert spec.variations == len(agents)


@pytest.mark.parametrize("body", EXAMPLES.values(), ids=EXAMPLES)
async def test_the_examples_of_the_documentation_are_accepted(body: Body):
    given = {name: value for name, value in body.items() if name not in {"repo_url", "github_url"}}
    assert (await spec_of(given)).variations >= 3


async def test_fewer_than_three_variations_are_the_default_where_no_more_are_allowed():
    assert (await spec_of({}, structs.replace(SETTINGS, max_variations=2))).variations == 2


async def test_an_operator_says_what_an_agent_asks_by_default():
    settings = structs.replace(SETTINGS, claude_code_model="claude-opus-5", codex_model="openai/gpt-5.2")
    found = await spec_of({"agents": [{"agent": "claude-code"}, {"agent": "codex"}]}, settings)
    assert [each.model for each in found.agents] == ["anthropic/claude-opus-5", "openai/gpt-5.2"]


async def test_a_variation_s_own_words_come_after_the_prompt():
    spec = await spec_of({"agents": [{}, {"prompt_suffix": "be brief"}]})
    assert [spec.prompt_of(index) for index in range(2)] == ["do it", "do it\n\nbe brief"]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"variations": 7}, INVALID, "variations"),
        ({"agents": [{"count": 4}, {"count": 3}]}, INVALID, "agents"),
        ({"agents": [{"count": 10**15}]}, INVALID, "agents"),
        ({"model": "llama/3"}, "model.unknown", "model"),
        ({"model": "Scripted "}, "model.unknown", "model"),
        ({"agent_config": {"model": "nobody/x"}}, "model.unknown", "agent_config.model"),
        ({"agents": [{}, {"model": "nobody/x"}]}, "model.unknown", "agents[1].model"),
        ({"agent": "claude-code", "model": "gpt-5"}, "model.wire", "model"),
        ({"agent": "claude-code", "model": "scripted"}, "model.wire", "model"),
        ({"agent": "codex", "model": "claude-opus-5"}, "model.wire", "model"),
        ({"agent": "codex", "model": "gpt-oss/x"}, "model.wire", "model"),
        ({"use_claude_code": True, "agent_config": {"model": "gpt-4"}}, "model.wire", "agent_config.model"),
        ({"agents": [{}, {"agent": "codex", "model": "gpt-oss/x"}]}, "model.wire", "agents[1].model"),
        ({"use_claude_code": True, "agent": "codex"}, INVALID, "use_claude_code"),
        ({"use_claude_code": True, **COMMAND}, INVALID, "use_claude_code"),
        ({"agent": "claude-code", "temperature": 1}, INVALID, "temperature"),
        ({"agent": "codex", "temperature": 1}, INVALID, "temperature"),
        ({**COMMAND, "temperature": 1}, INVALID, "temperature"),
        ({"use_claude_code": True, "agent_config": {"temperature": 0.7}}, INVALID, "agent_config.temperature"),
        ({"agents": [{"agent": "codex", "temperature": 1}]}, INVALID, "agents[0].temperature"),
        ({"agent": "command"}, INVALID, "command"),
        ({"agent": "claude-code", "command": "make"}, INVALID, "command"),
        ({"agents": [{}, {"agent": "command", "command": " "}]}, INVALID, "agents[1].command"),
        ({"agents": [{"command": "make"}]}, INVALID, "agents[0].command"),
        ({"agents": [{"prompt_suffix": "a\0"}]}, INVALID, "agents[0].prompt_suffix"),
        ({"agents": [{"prompt_suffix": "x" * 10_000}], "prompt": "x" * 95_000}, INVALID, "agents[0].prompt_suffix"),
    ],
)  # fmt: skip
async def test_agents_and_models_that_do_not_go_together_are_refused_by_field(body: Body, code: str, field: str):
    assert (await refusal(body))[:2] == (code, field)


@pytest.mark.parametrize(
    "also",
    [
        {"variations": 1}, {"agent": "builtin"}, {"model": "scripted"}, {"temperature": 1}, {"command": ""},
        {"agent_config": {}}, {"use_claude_code": False},
    ],
)  # fmt: skip
async def test_a_matrix_stands_instead_of_what_it_says_for_each(also: Body):
    assert (await refusal({"agents": [{}], **also}))[:2] == (INVALID, *also)


async def test_a_refused_temperature_comes_with_what_to_do():
    why = (await refusal({"use_claude_code": True, "agent_config": {"temperature": 0.7}}))[2]
    assert "claude-code" in why
    assert "leave it out, or take the agent builtin" in why


async def test_codex_at_a_server_of_another_s_is_refused_with_what_lets_it_in():
    settings = structs.replace(SETTINGS, openai_base_url="https://other.test")
    code, field, why = await refusal({"agent": "codex"}, settings)
    assert (code, field) == ("model.wire", "model")
    assert "OPENAI_BASE_URL" in why
    assert 'wire = "responses"' in why
    assert "OPENAI_BASE_URL" not in (await refusal({"agent": "codex", "model": "gpt-oss/x"}, settings))[2]


@pytest.mark.parametrize(
    ("body", "field", "variable"),
    [
        ({"agent": "claude-code"}, "model", "ANTHROPIC_API_KEY"),
        ({"use_claude_code": True}, "model", "ANTHROPIC_API_KEY"),
        ({"agent_config": {"model": "gpt-4"}}, "agent_config.model", "OPENAI_API_KEY"),
        ({"agents": [{}, {"agent": "codex"}]}, "agents[1].model", "OPENAI_API_KEY"),
    ],
)
async def test_a_model_without_a_key_is_refused_by_the_variable_that_is_missing(body: Body, field: str, variable: str):
    code, found, why = await refusal(body, environ={})
    assert (code, found, variable in why) == ("llm.no_key", field, True)


async def test_what_would_be_refused_with_a_key_is_refused_for_that():
    assert (await refusal({"agent": "claude-code", "model": "gpt-5"}, environ={}))[0] == "model.wire"
    assert (await refusal({"agent": "codex", "temperature": 1}, environ={}))[:2] == (INVALID, "temperature")


async def test_scripts_and_commands_need_no_key():
    assert (await spec_of({"agents": [{}, COMMAND]}, environ={})).variations == 2
