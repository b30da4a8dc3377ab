"""git with a URL and a repository that anyone may have chosen: one server, no other, and nothing of theirs is run.

It reads no configuration, asks for no password, speaks the URL's own protocol alone, follows no redirect, and connects
to the address that was looked at. It is to run in a sandbox, for what it reads is hostile all the same.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
from msgspec import Struct

from service.address import Resolve, is_global, parse_host_address
from service.engine.clone import git_error
from service.engine.local.confine import Done, run_confined
from service.engine.local.confinement import Bind, Confinement
from service.engine.local.disk import watch_disk
from service.engine.local.host import Host
from service.engine.local.outward import outward_sandbox
from service.errors import EngineError, PrepareError
from service.repo_url import RepoUrl

_SAFE = {
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "fetch.fsckObjects": "true",
    "fetch.unpackLimit": "1",
    "fetch.uriProtocols": "",
    "gc.auto": "0",
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "1000",
    "maintenance.auto": "false",
    "protocol.version": "2",
    "submodule.recurse": "false",
    "transfer.bundleURI": "false",
    "transfer.fsckObjects": "true",
}
_HARMLESS = (
    "badDate", "badDateOverflow", "badEmail", "badName", "badTagName", "badTimezone", "extraHeaderEntry",
    "missingEmail", "missingNameBeforeEmail", "missingSpaceBeforeDate", "missingSpaceBeforeEmail",
    "missingTaggerEntry", "multipleAuthors", "nulInCommit", "zeroPaddedDate", "zeroPaddedFilemode",
)  # fmt: skip
"""Findings that well-known repositories have in old commits, and that can do nobody any harm."""


_REMOTE = "aideator"
"""What git calls the repository that it fetches from."""


class Remote(Struct, frozen=True, kw_only=True):
    """Where git is to connect to, and how."""

    address: str
    scheme: str
    pin: str = ""
    """Host, port and addresses; git asks nobody else for them."""


async def resolve_remote(url: RepoUrl, resolve: Resolve, *, proxied: bool) -> Remote:
    """Resolve the host once, so that what is refused or not is what will be connected to.

    A proxy resolves for itself; a name that only it knows is for it to judge.

    Raises:
        PrepareError: `clone.address` for a host that is not on the public internet, `clone.dns` for none.

    """
    remote = Remote(address=str(url), scheme=url.scheme)
    if url.trusted:
        return remote
    literal = parse_host_address(url.host)
    try:
        addresses = [str(literal)] if literal else await resolve(url.host, url.port)
    except OSError as error:
        if proxied:
            return remote
        raise PrepareError("clone.dns", f"could not resolve host {url.host}") from error
    addresses = list(dict.fromkeys(addresses))
    if not addresses or not all(is_global(address) for address in addresses):
        raise PrepareError("clone.address", f"{url.host} has an address that is not on the public internet")
    if url.scheme == "git":  # git itself connects, and takes the address as part of the URL alone
        bracketed = _bracketed(addresses[0])
        return Remote(address=f"git://{bracketed}:{url.port}{url.path}", scheme="git")
    pin = "" if literal else f"{url.host}:{url.port}:{','.join(map(_bracketed, addresses))}"
    return Remote(address=str(url), scheme=url.scheme, pin=pin)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def git_command(arguments: Sequence[str], *, pin: str = "", quiet_s: int = 20) -> list[str]:
    """The command line of a safe git; a server that sends less than 1 KB/s for `quiet_s` seconds is given up."""
    settings = {**_SAFE, "http.lowSpeedTime": str(quiet_s)}
    settings |= {f"fetch.fsck.{each}": "ignore" for each in _HARMLESS}
    if pin:
        settings["http.curloptResolve"] = pin
    return ["git", *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")), *arguments]


def fetch_command(remote: Remote, refspec: str, *, quiet_s: int = 20) -> list[str]:
    """The command that gets one commit without its history, in one connection; `git_environ` has the address."""
    options = ["--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]
    fetch = ["fetch", *options, "--no-auto-maintenance", "--", _REMOTE, refspec]
    return git_command(fetch, pin=remote.pin, quiet_s=quiet_s)


def git_environ(remote: Remote | None = None) -> dict[str, str]:
    """All that git is told by its environment; it speaks no protocol but the remote's.

    The remote's address is here, for others on this machine can read command lines.
    """
    named: dict[str, str] = {}
    if remote is not None:
        named = {"GIT_CONFIG_KEY_0": f"remote.{_REMOTE}.url", "GIT_CONFIG_VALUE_0": remote.address}
    return {
        **named,
        "GIT_CONFIG_COUNT": "1" if named else "0",
        "GIT_ALLOW_PROTOCOL": "none" if remote is None else remote.scheme,
        "GIT_ASKPASS": "true",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }


def is_proxied(url: RepoUrl, environ: Mapping[str, str]) -> bool:
    """Whether the operator has set a proxy for it; exceptions to that are not looked at."""
    own = {"https": ("https_proxy", "HTTPS_PROXY"), "http": ("http_proxy",)}  # libcurl's: it takes no HTTP_PROXY
    return url.scheme in own and any(environ.get(name) for name in (*own[url.scheme], "all_proxy", "ALL_PROXY"))


def outward_git(environ: Mapping[str, str]) -> tuple[dict[str, str], tuple[Bind, ...]]:
    """The operator's proxies and certificates: variables, and what has to be shown for them."""
    return outward_sandbox(environ, ("GIT_SSL_CAINFO",))


async def run_git(
    host: Host,
    command: Sequence[str],
    what: Confinement,
    *,
    grows: Path,
    limit_s: float = math.inf,
    hidden: Sequence[str] = (),
) -> bytes:
    """Run a command of git's in a sandbox; returns what it printed. `grows` is the folder that it may fill.

    `hidden` are URLs that are left out of what it says, for any word may stand in one.

    Raises:
        PrepareError: `clone.*`.
        EngineError: there is no sandbox for it.
        TimeoutError: it takes longer than `limit_s`.

    """
    ended: list[Done | TimeoutError | EngineError] = []
    said = ""

    async def watch() -> None:
        nonlocal said
        said = await watch_disk(grows, what.limits.disk_bytes)
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        try:
            ended.append(await run_confined(host, command, what, limit_s=limit_s))
        except (TimeoutError, EngineError) as error:  # the task group would wrap it
            ended.append(error)
        tasks.cancel_scope.cancel()
    match ended:
        case [Done(status=0, stdout=stdout)]:
            return stdout
        case [Done() as done]:
            raise git_error(done.status, done.stderr, hidden)
        case [Exception() as error]:
            raise error
        case _:
            raise PrepareError("clone.disk_full" if "disk is full" in said else "clone.too_large", said)
