"""What the URL of a repository may be, for whoever is not the operator.

By default `https://` to any host that is globally reachable, at the usual port. The operator widens or narrows that
with entries of `GIT_ALLOW`, which are URLs themselves and are compared part by part, never as strings.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv6Address
from typing import Literal
from urllib.parse import unquote

import anyio
import msgspec

from service.address import Resolve, is_global, is_loopback, parse_host_address, resolve_host
from service.invisible import has_invisible

DEFAULT_PORTS = {"https": 443, "http": 80, "git": 9418}
DEFAULT_ALLOW = "https://"
MAX_LENGTH = 2000
RESOLVE_S = 5.0

Code = Literal[
    "repo_url.scheme",
    "repo_url.credentials",
    "repo_url.host",
    "repo_url.address",
    "repo_url.port",
    "repo_url.chars",
    "repo_url.path",
    "repo_url.syntax",
]

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_AUTHORITY = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[0-9]*))?")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_MAX_PORT = 65535
_MAX_NAME = 253


class RepoUrlError(ValueError):
    """A repository URL that is refused; `code` is stable, `str(error)` is for people and never holds credentials."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


class RepoUrl(msgspec.Struct, frozen=True, kw_only=True):
    """A repository's URL, normalised: equal texts, equal repositories. `str()` gives it back."""

    scheme: str
    host: str
    """Lower case, without a trailing dot and without brackets."""
    port: int
    path: str
    """With its leading slash and without a trailing one; case and percent-encoding as given."""
    trusted: bool = False
    """True if an entry of the operator's that names a host admits it; its address is then not looked at."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"

    @property
    def is_this_machine(self) -> bool:
        """True for a loopback address and for `localhost`, which only a trusted URL can have."""
        return is_loopback(self.host)


class AllowEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `GIT_ALLOW`.

    Without a host it admits any host of its scheme under all rules. With one it lifts the rules on scheme, port and
    address for what it matches; those on credentials, characters and path hold for everyone.
    """

    scheme: str
    host: str = ""
    port: int
    path: str = ""
    """Admitted are this path and what lies below it."""

    def matches(self, url: RepoUrl) -> bool:
        return (self.scheme, self.host, self.port) == (url.scheme, url.host, url.port) and (
            url.path == self.path or url.path.startswith(f"{self.path}/")
        )


def parse_allow(text: str) -> tuple[AllowEntry, ...]:
    """Read `GIT_ALLOW`: entries separated by commas or whitespace.

    Raises:
        ValueError: an entry is no URL, or there is none; it is named.

    """
    entries: list[AllowEntry] = []
    for entry in filter(None, re.split(r"[,\s]+", text)):
        try:
            entries.append(parse_entry(entry))
        except RepoUrlError as error:
            shown = "with credentials" if "@" in entry else repr(entry)
            raise ValueError(f"GIT_ALLOW entry {shown}: {error}") from error
    if not entries:
        raise ValueError("GIT_ALLOW has no entry, so no repository could be used; the default is https://")
    return tuple(entries)


def parse_entry(text: str) -> AllowEntry:
    """Read one entry. Raises `RepoUrlError` where it is none."""
    scheme, authority, rest = _split(text)
    if scheme not in DEFAULT_PORTS:
        raise RepoUrlError("repo_url.scheme", f"the scheme is one of {', '.join(DEFAULT_PORTS)}")
    if not authority and not rest:
        return AllowEntry(scheme=scheme, port=DEFAULT_PORTS[scheme])
    host, port = _parse_authority(scheme, authority)
    path = _check_path(rest) if rest.strip("/") else ""
    return AllowEntry(scheme=scheme, host=host, port=port, path=path)


def parse_repo_url(text: str, allow: Sequence[AllowEntry]) -> RepoUrl:
    """Normalise `text`, or raise `RepoUrlError`; asks no network.

    Whether a *name* leads to a global address is `check_address`'s to say.
    """
    scheme, authority, rest = _split(text)
    entries = [entry for entry in allow if entry.scheme == scheme]
    if not entries:
        schemes = ", ".join(dict.fromkeys(f"{entry.scheme}://" for entry in allow))
        raise RepoUrlError("repo_url.scheme", f"a repository URL begins with {schemes}, not with {scheme}://")
    host, port = _parse_authority(scheme, authority)
    url = RepoUrl(scheme=scheme, host=host, port=port, path=rest.rstrip("/"))
    trusted = any(entry.host and entry.matches(url) for entry in entries)
    if not trusted:
        _check_host(url, entries)
    return msgspec.structs.replace(url, path=_check_path(rest), trusted=trusted)


def _split(text: str) -> tuple[str, str, str]:
    """Take a URL apart into scheme, authority and the rest; refuse what no part of one may hold."""
    if not text.strip():
        raise RepoUrlError("repo_url.syntax", "the repository URL is empty")
    if len(text) > MAX_LENGTH:
        raise RepoUrlError("repo_url.syntax", f"the repository URL is longer than {MAX_LENGTH} characters")
    _check_characters(text)
    match = _URL.fullmatch(text)
    if match is None:
        raise RepoUrlError("repo_url.scheme", "a repository URL begins with a scheme, such as https://")
    return match["scheme"].lower(), match["authority"], match["rest"]


def _check_characters(text: str) -> None:
    if has_invisible(text):
        raise RepoUrlError("repo_url.chars", "the repository URL holds a control or an invisible character")


def _parse_authority(scheme: str, authority: str) -> tuple[str, int]:
    if "@" in authority:
        raise RepoUrlError("repo_url.credentials", "a repository URL holds no user name and no password")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise RepoUrlError("repo_url.syntax", "the host and port of the repository URL cannot be read")
    port = int(match["port"] or DEFAULT_PORTS[scheme])
    if not 0 < port <= _MAX_PORT:
        raise RepoUrlError("repo_url.port", "the port of the repository URL is no port")
    return _parse_v6(match["v6"]) if match["v6"] else _parse_name(match["name"]), port


def _parse_v6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError as error:
        raise RepoUrlError("repo_url.address", f"[{text}] is no IPv6 address") from error


def _parse_name(text: str) -> str:
    if not text.isascii():
        raise RepoUrlError("repo_url.host", f"write the host in its ASCII form{_ascii_form(text)}")
    name = text.lower().removesuffix(".")
    if len(name) > _MAX_NAME or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise RepoUrlError("repo_url.host", f"{text[:_MAX_NAME]!r} is no host name")
    try:
        parse_host_address(name)
    except ValueError as error:
        raise RepoUrlError("repo_url.address", f"{name} is no address in its usual form") from error
    return name


def _ascii_form(name: str) -> str:
    # Only shown, not used: which name it is differs between the standard of Python's codec and the one that curl uses.
    try:
        return f", perhaps {name.encode('idna').decode()}"
    except UnicodeError:
        return ""


def _check_host(url: RepoUrl, entries: Sequence[AllowEntry]) -> None:
    """Apply the rules on host, address and port to a URL that no entry with a host admits."""
    if all(entry.host for entry in entries):
        raise RepoUrlError("repo_url.host", f"repositories of {url.host} at this port and path are not allowed here")
    address = parse_host_address(url.host)
    if is_loopback(url.host) or (address is not None and not is_global(str(address))):
        raise RepoUrlError("repo_url.address", f"{url.host} is not on the public internet")
    if url.port != DEFAULT_PORTS[url.scheme]:
        raise RepoUrlError("repo_url.port", f"port {url.port} is not allowed for {url.scheme}://")


def _check_path(path: str) -> str:
    """Return `path` without its trailing slash; refuse what could leave it once a server decodes it."""
    if "?" in path or "#" in path:
        raise RepoUrlError("repo_url.path", "a repository URL has no query and no fragment")
    decoded = path
    while (once := unquote(decoded)) != decoded:  # a proxy may decode once more than the server behind it
        decoded = once
    _check_characters(decoded)
    segments = decoded.removesuffix("/").split("/")[1:]
    if not segments or not all(segments):
        raise RepoUrlError("repo_url.path", "a repository URL needs a path without empty parts")
    if {".", ".."} & set(segments) or "\\" in decoded or " " in decoded:
        raise RepoUrlError("repo_url.path", "the path of a repository URL holds no '.', '..', space or backslash")
    return path.removesuffix("/")


async def check_address(url: RepoUrl, resolve: Resolve = resolve_host, *, limit_s: float = RESOLVE_S) -> None:
    """Refuse a host with an address that is not global, or raise nothing.

    A name that does not resolve passes: the clone will say so. One that takes longer than `limit_s` does
    not, for whoever wants to pass unseen can make it slow. Trusted URLs and literal addresses are not looked up.
    """
    if url.trusted or parse_host_address(url.host) is not None:
        return
    try:
        with anyio.fail_after(limit_s):
            addresses = await resolve(url.host, url.port)
    except TimeoutError as error:
        message = f"{url.host} did not resolve within {limit_s:g} seconds"
        raise RepoUrlError("repo_url.address", message) from error
    except OSError:
        return
    if not all(is_global(address) for address in addresses):
        raise RepoUrlError("repo_url.address", f"{url.host} has an address that is not on the public internet")
