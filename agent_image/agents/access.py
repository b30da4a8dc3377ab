"""What programs that ask models find in their environment: where models are, and what lets them in."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from agent_image.task import Access


def messages_variables(access: Access) -> dict[str, str]:
    """The names that Anthropic's programs and SDKs know."""
    return {"ANTHROPIC_BASE_URL": access.url, "ANTHROPIC_API_KEY": access.token}


def openai_variables(access: Access) -> dict[str, str]:
    """The names that OpenAI's know."""
    return {"OPENAI_BASE_URL": f"{access.url}/v1", "OPENAI_API_KEY": access.token}


def past_proxies(access: Access, environment: Mapping[str, str]) -> dict[str, str]:
    """The gateway is near: a proxy of `environment` does not lead there."""
    spared = environment.get("NO_PROXY") or environment.get("no_proxy")
    host = urlsplit(access.url).hostname or ""
    hosts = f"{spared},{host}" if spared else host
    return {"NO_PROXY": hosts, "no_proxy": hosts}
