"""From a request to a run that may be stored: every rule on its values, each naming the field that it is about."""

from collections.abc import Sequence

from msgspec import UNSET, structs

from service.assignments import assignments
from service.errors import InvalidError
from service.git_ref import RefError, check_ref
from service.image_ref import ImageRefError, check_image
from service.mcp import check_servers
from service.repo_url import AllowEntry, RepoUrlError, check_address, parse_repo_url
from service.request import RunRequest
from service.rules import Rules
from service.run import Assignment, Budget, RunSpec
from service.text import check_text

_MOST_SETUP_BYTES = 1_000_000
"""Of all setup commands: all arguments together have 2 MiB."""
_ROUNDING = 1e-6
"""Of fractions: a tenth of ten calls is one."""


async def to_spec(request: RunRequest, rules: Rules) -> RunSpec:
    """Apply defaults and rules.

    Raises:
        InvalidError: a value is not acceptable; nothing was stored and no repository was asked.

    """
    settings = rules.settings
    agents = assignments(request, rules)
    return RunSpec(
        repo_url=await _repo_url(request, rules.allow),
        ref=_ref(request.ref),
        prompt=check_text("prompt", request.prompt),
        setup=_setup(request.setup),
        image=_image(request, rules),
        timeout_s=settings.agent_timeout if request.timeout_s is UNSET else request.timeout_s,
        agents=agents,
        budget=_budget(request, agents, settings.budget_usd),
        mcp_servers={} if request.mcp_servers is UNSET else check_servers(request.mcp_servers),
    )


async def _repo_url(request: RunRequest, allow: Sequence[AllowEntry]) -> str:
    field, given = "repo_url", request.repo_url
    if given is UNSET:
        field, given = "github_url", request.github_url
    if given is UNSET:
        raise InvalidError("request.invalid", "repo_url", "which repository? it is required")
    if request.repo_url is not UNSET and request.github_url is not UNSET:
        raise InvalidError("request.invalid", "github_url", "another name of repo_url; give one of them")
    try:
        url = parse_repo_url(given, allow)
        if not url.trusted:
            await check_address(url)
    except RepoUrlError as error:
        raise InvalidError(error.code, field, str(error)) from error
    return str(url)


def _ref(ref: str) -> str:
    try:
        return check_ref(ref)
    except RefError as error:
        raise InvalidError(error.code, "ref", str(error)) from error


def _image(request: RunRequest, rules: Rules) -> str:
    """Return the image; empty where the engine has none."""
    engine = rules.capabilities
    if request.image is UNSET:
        return rules.settings.agent_container_image if engine.foreign_images else ""
    try:
        image = check_image(request.image)
    except ImageRefError as error:
        raise InvalidError(error.code, "image", str(error)) from error
    if not engine.foreign_images:
        why = f"on the engine {engine.name} agents run on this machine's own system; a Dagger engine runs images"
        raise InvalidError("image.foreign", "image", why)
    return image


def _setup(setup: Sequence[str]) -> list[str]:
    if sum(len(each.encode()) for each in setup) > _MOST_SETUP_BYTES:
        raise InvalidError("request.invalid", "setup", f"more than {_MOST_SETUP_BYTES} bytes in all, as UTF-8")
    return [check_text(f"setup[{index}]", each) for index, each in enumerate(setup)]


def _budget(request: RunRequest, agents: Sequence[Assignment], most_usd: float) -> Budget | None:
    """Check what is asked for, and put the operator's ceiling where it says nothing of dollars."""
    budget = None if request.budget is UNSET else request.budget
    if budget is not None and (budget.usd, budget.tokens, budget.calls) == (None, None, None):
        raise InvalidError("request.invalid", "budget", "it needs one of usd, tokens and calls")
    asking = sum(each.asks_a_provider for each in agents)
    if not asking:
        return budget
    if budget is not None:
        _check_shares(budget, asking)
    if not most_usd:
        return budget
    if budget is None or budget.usd is None:
        return structs.replace(budget or Budget(), usd=most_usd)
    if budget.usd > most_usd:
        raise InvalidError("request.invalid", "budget.usd", f"at most {most_usd:g} here (BUDGET_USD)")
    return budget


def _check_shares(budget: Budget, asking: int) -> None:
    for unit, whole in (("token", budget.tokens), ("call", budget.calls)):
        if whole is not None and whole * (1 - budget.reserve) < asking - _ROUNDING:
            why = f"{asking} variations ask models: not one {unit} for each"
            raise InvalidError("request.invalid", f"budget.{unit}s", why)
