"""From what a request says of agents to one assignment for each variation."""

from collections.abc import Iterator, Mapping

from msgspec import UNSET, Struct

from agent_image.gateway.plan import Wire
from service.errors import InvalidError, ModelError
from service.providers import FILE, Model
from service.request import AgentConfig, AgentRequest, RunRequest
from service.rules import Rules
from service.run import SCRIPTED, Agent, Assignment
from service.settings import Settings
from service.text import check_text

_DEFAULT_VARIATIONS = 3
_INSTEAD = ("variations", "agent", "model", "temperature", "command", "agent_config", "use_claude_code")
"""What a request with `agents` has no use for."""
_SPEAKS: Mapping[Agent, Wire] = {"claude-code": "messages", "codex": "responses"}
"""The one wire format that a program knows; `builtin` knows all, and a command may know any."""


class _Group(Struct, frozen=True, kw_only=True):
    """Variations that are alike, and where the request speaks of them."""

    like: AgentRequest
    prefix: str = ""
    elsewhere: Mapping[str, str] = {}
    """Paths of fields that are not where their names say."""

    def path(self, field: str) -> str:
        return self.prefix + self.elsewhere.get(field, field)


def assignments(request: RunRequest, rules: Rules) -> list[Assignment]:
    """Give every variation its agent.

    Raises:
        InvalidError: a value is not acceptable, or does not go with another.

    """
    groups = list(_groups(request, rules.settings))
    most = rules.settings.max_variations
    if sum(group.like.count for group in groups) > most:
        field = "variations" if request.agents is UNSET else "agents"
        raise InvalidError("request.invalid", field, f"at most {most} variations here (MAX_VARIATIONS)")
    found: list[Assignment] = []
    for group in groups:
        found += [_assignment(group, request, rules)] * group.like.count
    return found


def _groups(request: RunRequest, settings: Settings) -> Iterator[_Group]:
    if request.agents is UNSET:
        yield _only_group(request, min(_DEFAULT_VARIATIONS, settings.max_variations))
        return
    for field in _INSTEAD:
        if getattr(request, field) is not UNSET:
            raise InvalidError("request.invalid", field, "`agents` says it, for each variation; give one of the two")
    for index, like in enumerate(request.agents):
        yield _Group(like=like, prefix=f"agents[{index}].")


def _only_group(request: RunRequest, count: int) -> _Group:
    config = AgentConfig() if request.agent_config is UNSET else request.agent_config
    model, temperature = request.model, request.temperature
    elsewhere: dict[str, str] = {}
    if model is UNSET and config.model is not UNSET:
        model, elsewhere["model"] = config.model, "agent_config.model"
    if temperature is UNSET and config.temperature is not UNSET:
        temperature, elsewhere["temperature"] = config.temperature, "agent_config.temperature"
    like = AgentRequest(
        agent=_agent(request),
        model=model,
        temperature=temperature,
        command=request.command or "",
        count=request.variations or count,
    )
    return _Group(like=like, elsewhere=elsewhere)


def _agent(request: RunRequest) -> Agent:
    if request.use_claude_code is not True:
        return "builtin" if request.agent is UNSET else request.agent
    if request.agent not in {UNSET, "claude-code"}:
        raise InvalidError(
            "request.invalid", "use_claude_code", f"it means claude-code, but `agent` is {request.agent}"
        )
    return "claude-code"


def _assignment(group: _Group, request: RunRequest, rules: Rules) -> Assignment:
    like = group.like
    if like.prompt_suffix:
        check_text(group.path("prompt_suffix"), f"{request.prompt}\n\n{like.prompt_suffix}")
    return Assignment(
        agent=like.agent,
        command=_command(group),
        temperature=_temperature(group),
        prompt_suffix=like.prompt_suffix,
        model=_model(group, request, rules),
    )


def _command(group: _Group) -> str:
    agent, command, field = group.like.agent, group.like.command, group.path("command")
    if agent == "command" and not command.strip():
        raise InvalidError("request.invalid", field, "the agent `command` needs a command line")
    if agent != "command" and command:
        raise InvalidError("request.invalid", field, "only the agent `command` takes one")
    return check_text(field, command, empty=True)


def _temperature(group: _Group) -> float | None:
    if group.like.temperature is UNSET:
        return None
    if group.like.agent != "builtin":
        why = f"the agent {group.like.agent} has no such setting: leave it out, or take the agent builtin"
        raise InvalidError("request.invalid", group.path("temperature"), why)
    return group.like.temperature


def _model(group: _Group, request: RunRequest, rules: Rules) -> str:
    agent, field = group.like.agent, group.path("model")
    model = _default_model(agent, rules.settings) if group.like.model is UNSET else group.like.model
    if agent == "command" and model in {"", SCRIPTED}:
        return ""
    if model == SCRIPTED:
        if agent != "builtin":
            raise InvalidError("model.wire", field, f"only builtin agents ask {SCRIPTED}, {agent} needs a provider's")
        return SCRIPTED
    try:
        _check_wire(agent, rules.providers.find(model), field, rules.settings)
        found = rules.providers.resolve(model)
    except ModelError as error:
        raise InvalidError(error.code, field, str(error)) from error
    if _counts_dollars(request, rules.settings) and rules.prices.price(found.name) is None:
        why = f"{found} has no price that is known, and a budget in US dollars needs one; PRICES_FILE can name it"
        raise InvalidError("budget.unpriced", field, why)
    return str(found)


def _default_model(agent: Agent, settings: Settings) -> str:
    models: dict[Agent, str] = {
        "builtin": SCRIPTED,
        "claude-code": settings.claude_code_model,
        "codex": settings.codex_model,
        "command": "",
    }
    return models[agent]


def _check_wire(agent: Agent, model: Model, field: str, settings: Settings) -> None:
    wire = _SPEAKS.get(agent)
    if wire and wire != model.provider.wire:
        name, other = model.provider.name, model.provider.wire
        why = f"{agent} speaks {wire} alone, and {name} speaks {other}"
        if wire == "responses" and name == "openai" and settings.openai_base_url:
            file = settings.providers_file or FILE
            why += f', for OPENAI_BASE_URL is set; if that server speaks {wire}, say wire = "{wire}" for it in {file}'
        raise InvalidError("model.wire", field, f"{why}; the agent builtin speaks both")


def _counts_dollars(request: RunRequest, settings: Settings) -> bool:
    return settings.budget_usd > 0 or (request.budget is not UNSET and request.budget.usd is not None)
