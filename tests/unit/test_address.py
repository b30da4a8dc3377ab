from collections.abc import Sequence

import anyio
import pytest

from service.address import resolve_host
from service.repo_url import DEFAULT_ALLOW, RepoUrlError, check_address, parse_allow, parse_repo_url

DEFAULT = parse_allow(DEFAULT_ALLOW)
GITHUB = parse_allow("https://github.com/")


class Names:
    """A resolver that knows what it is told, and what it was asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        if not self.addresses:
            raise OSError("no such host")
        return self.addresses


@pytest.mark.parametrize("addresses", [["8.8.8.8"], ["8.8.8.8", "2606:4700::1111"], []])
async def test_a_name_with_global_addresses_or_none_passes(addresses: list[str]):
    names = Names(*addresses)
    await check_address(parse_repo_url("https://git.example/a", DEFAULT), names)
    assert names.asked == [("git.example", 443)]


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["fe80::1%eth0"], ["::ffff:8.8.8.8"], ["?"]]
)
async def test_a_name_with_one_address_within_a_network_is_refused(addresses: list[str]):
    with pytest.raises(RepoUrlError) as caught:
        await check_address(parse_repo_url("https://git.example/a", DEFAULT), Names(*addresses))
    assert caught.value.code == "repo_url.address"


async def test_trusted_urls_and_literal_addresses_are_not_looked_up():
    names = Names("10.0.0.1")
    await check_address(parse_repo_url("https://github.com/a", GITHUB), names)
    await check_address(parse_repo_url("https://8.8.8.8/a", DEFAULT), names)
    assert names.asked == []


async def test_a_name_that_takes_too_long_is_refused():
    async def never(host: str, port: int) -> Sequence[str]:
        await anyio.sleep_forever()
        return host, str(port)

    with pytest.raises(RepoUrlError, match="within"):
        await check_address(parse_repo_url("https://git.example/a", DEFAULT), never, limit_s=0.01)


async def test_the_machine_s_own_resolver_is_asked_by_default():
    assert {"127.0.0.1", "::1"} & set(await resolve_host("localhost", 443))
