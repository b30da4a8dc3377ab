"""Which IP addresses a repository may be fetched from: globally routable unicast, and nothing that embeds another."""

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from socket import SOCK_STREAM

import anyio

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses; raises `OSError` if the name does not resolve."""

# `is_global` says yes to some parts of these: to 192.0.0.9, to relays that no longer exist, to any 6to4 address.
_NEVER_V4 = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
_NEVER_V6 = (
    IPv6Network("2001::/23"),  # Teredo and other protocols' own
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),  # 6to4
    IPv6Network("3fff::/20"),  # documentation
)
# All global unicast so far; outside it lie v4-mapped, NAT64, unique local, link local and multicast.
_UNICAST_V6 = IPv6Network("2000::/3")


def is_global(text: str) -> bool:
    """Tell whether `text` is an address that anyone on the internet could reach; False if it is no address."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        refused = address.is_multicast or address.is_reserved or any(address in network for network in _NEVER_V4)
    else:
        refused = address not in _UNICAST_V6 or any(address in network for network in _NEVER_V6)
    return address.is_global and not refused


def parse_host_address(host: str) -> IPv4Address | IPv6Address | None:
    """Read `host` as an address; None if it is a name.

    Whoever resolves a host whose last label is a number takes it for an IPv4 address, in any of its forms (`0`,
    `0177.1`, `0x7f.1`, `2130706433`).

    Raises:
        ValueError: an address in any but the usual form.

    """
    if ":" in host:
        return IPv6Address(host)
    last = host.rpartition(".")[2]
    if last.isdigit() or last.startswith("0x"):
        return IPv4Address(host)
    return None


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine itself: a loopback address, or a name that always stands for one.

    Raises:
        ValueError: an address in any but the usual form.

    """
    address = parse_host_address(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """Ask this machine's resolver, as git will."""
    return [str(found[4][0]) for found in await anyio.getaddrinfo(host, port, type=SOCK_STREAM)]
