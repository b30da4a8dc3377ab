"""What the operator has decided, and every request has to keep to."""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, structs

from agent_image.gateway.prices import PriceList
from service.engine import Capabilities
from service.image_ref import ImageRefError, check_image
from service.providers import Providers
from service.repo_url import AllowEntry, parse_allow
from service.settings import Settings, SettingsError


class Rules(Struct, frozen=True, kw_only=True):
    settings: Settings
    allow: Sequence[AllowEntry]
    """Which repositories may be cloned."""
    providers: Providers
    prices: PriceList
    capabilities: Capabilities
    """What the engine can do: nobody is promised more."""


def read_rules(settings: Settings, providers: Providers, capabilities: Capabilities) -> Rules:
    """Take the settings as rules.

    Raises:
        SettingsError: a setting is none that could work.

    """
    try:
        check_image(settings.agent_container_image)
        allow = parse_allow(settings.git_allow)
    except ImageRefError as error:
        raise SettingsError(f"AGENT_CONTAINER_IMAGE: {error}") from error
    except ValueError as error:
        raise SettingsError(str(error)) from error
    prices = read_prices(settings)
    return Rules(settings=settings, allow=allow, providers=providers, prices=prices, capabilities=capabilities)


def read_prices(settings: Settings) -> PriceList:
    """Read the operator's prices, and the bundled ones for models that they leave out.

    Raises:
        SettingsError: `PRICES_FILE` is no list of prices.

    """
    bundled = PriceList.load()
    if not settings.prices_file:
        return bundled
    try:
        own = PriceList.load(Path(settings.prices_file))
    except OSError as error:
        raise SettingsError(f"PRICES_FILE: {settings.prices_file}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"PRICES_FILE: {settings.prices_file}: {error}") from error
    return structs.replace(own, models={**bundled.models, **own.models})
