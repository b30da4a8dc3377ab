"""From a request to a run that may be stored: every rule on its values, each naming the field that it is about."""

from collections.abc import Sequence

from msgspec import UNSET

from service.errors import InvalidError
from service.git_ref import RefError, check_ref
from service.image_ref import ImageRefError, check_image
from service.repo_url import AllowEntry, RepoUrlError, check_address, parse_repo_url
from service.run import RunRequest, RunSpec
from service.settings import Settings

_DEFAULT_VARIATIONS = 3
_MODEL = "scripted"
_MOST_BYTES = 100_000
"""Of one text: Linux gives a program no argument, and no variable, of more than 128 KiB."""
_MOST_SETUP_BYTES = 1_000_000
"""Of all setup commands: all arguments together have 2 MiB."""


async def to_spec(request: RunRequest, settings: Settings, allow: Sequence[AllowEntry]) -> RunSpec:
    """Apply defaults and rules.

    Raises:
        InvalidError: a value is not acceptable; nothing was stored and no repository was asked.

    """
    spec = RunSpec(
        repo_url=await _repo_url(request, allow),
        ref=_ref(request.ref),
        prompt=_text("prompt", request.prompt),
        variations=_variations(request, settings),
        agent=request.agent,
        model=_model(request),
        command=_command(request),
        setup=_setup(request.setup),
        image=_image(settings.agent_container_image if request.image is UNSET else request.image),
        timeout_s=settings.agent_timeout if request.timeout_s is UNSET else request.timeout_s,
    )
    if request.use_claude_code:
        raise InvalidError("agent.unknown", "use_claude_code", "this version has the agents builtin and command")
    return spec


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


def _image(image: str) -> str:
    try:
        return check_image(image)
    except ImageRefError as error:
        raise InvalidError(error.code, "image", str(error)) from error


def _variations(request: RunRequest, settings: Settings) -> int:
    if request.variations is UNSET:
        return min(_DEFAULT_VARIATIONS, settings.max_variations)
    if request.variations > settings.max_variations:
        raise InvalidError("request.invalid", "variations", f"at most {settings.max_variations} here (MAX_VARIATIONS)")
    return request.variations


def _model(request: RunRequest) -> str:
    field, model = "model", request.model
    if model is UNSET and request.agent_config is not UNSET:
        field, model = "agent_config.model", request.agent_config.model
    if model is UNSET:
        return _MODEL
    if model != _MODEL:
        raise InvalidError("model.unknown", field, f"this version has the model {_MODEL} alone, not {model[:100]!r}")
    return model


def _command(request: RunRequest) -> str:
    if request.agent == "command" and not request.command.strip():
        raise InvalidError("request.invalid", "command", "the agent `command` needs a command line")
    if request.agent != "command" and request.command:
        raise InvalidError("request.invalid", "command", "only the agent `command` takes one")
    return _text("command", request.command, empty=True)


def _setup(setup: Sequence[str]) -> list[str]:
    if sum(len(each.encode()) for each in setup) > _MOST_SETUP_BYTES:
        raise InvalidError("request.invalid", "setup", f"more than {_MOST_SETUP_BYTES} bytes in all, as UTF-8")
    return [_text(f"setup[{index}]", each) for index, each in enumerate(setup)]


def _text(field: str, text: str, *, empty: bool = False) -> str:
    """Refuse what no command line and no text column can hold."""
    if "\0" in text:
        raise InvalidError("request.invalid", field, "a NUL character cannot be passed on")
    if not empty and not text.strip():
        raise InvalidError("request.invalid", field, "there is nothing in it")
    if len(text.encode()) > _MOST_BYTES:
        raise InvalidError("request.invalid", field, f"more than {_MOST_BYTES} bytes, as UTF-8")
    return text
