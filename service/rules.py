"""What the operator has decided, and every request has to keep to."""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, structs

from agent_image.gateway.prices import PriceList
from service.providers import Providers
from service.repo_url import AllowEntry
from service.settings import Settings, SettingsError


class Rules(Struct, frozen=True, kw_only=True):
    settings: Settings
    allow: Sequence[AllowEntry]
    """Which repositories may be cloned."""
    providers: Providers
    prices: PriceList


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
