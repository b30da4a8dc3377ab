"""A repository's cache on this machine: fetched once for all runs, and whole whenever anyone is killed.

    repositories/<hash of the URL>/
        lock            held by whoever uses any of it
        fetch.lock      held by whoever fetches
        fetched.json    what refs were when they were last fetched
        git/            bare: objects, which sandboxes may read, and a ref for each commit that was fetched
        fetching-…/     a fetch that is at work, or was killed; or what turned out to be broken, until it is removed

git writes into a repository of its own for each fetch, which borrows the objects that are there. Only what came whole
is moved into the cache, by us: no sandbox ever writes there, and a killed git leaves nothing in it.
"""

import json
import os
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Self
from uuid import uuid4

import anyio
import msgspec
from anyio import to_thread
from anyio.lowlevel import checkpoint

from service.address import Resolve, resolve_host
from service.engine.clone import disk_error
from service.engine.local.bare import adopt, borrow, make_bare, write_whole
from service.engine.local.checkout import OBJECTS, check_out
from service.engine.local.confine import run_confined
from service.engine.local.confinement import Bind, Confinement, Limits
from service.engine.local.git import (
    fetch_command,
    git_command,
    git_environ,
    is_proxied,
    outward_git,
    resolve_remote,
    run_git,
)
from service.engine.local.host import Host
from service.engine.local.lock import locked
from service.engine.local.removal import remove
from service.errors import PrepareError
from service.git_ref import RefError, check_ref
from service.repo_url import RepoUrl

__all__ = ["LIMITS", "OBJECTS", "Repository"]

LIMITS = Limits(memory_bytes=4 << 30, processes=256, disk_bytes=10 << 30)
"""Of git's sandboxes, where nobody names others."""

_FETCHING = "/run/aideator/fetching"
_CHECKED = "/run/aideator/checked"
_CHECK_S = 120.0
_PERHAPS_BROKEN = {"clone.failed", "clone.unsafe", "clone.not_found"}
"""Errors that a broken repository on this machine can look like."""
_REF = "refs/aideator/new"
_FETCH_AND_PEEL = f'"$@" && exec git rev-parse --verify {_REF}^{{commit}}'
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_REMEMBERED = 100


class Repository:
    """The cache of one URL in `folder`; hold it for as long as what `fetch` brought has to stay."""

    def __init__(
        self,
        host: Host,
        folder: Path,
        url: RepoUrl,
        *,
        limits: Limits = LIMITS,
        resolve: Resolve = resolve_host,
        environ: Mapping[str, str] = os.environ,
        quiet_s: int = 20,
    ) -> None:
        """`environ` names proxies and certificates; `quiet_s` is how long a server may send next to nothing."""
        self.folder = folder
        self.git = folder / "git"
        """The bare repository; its `objects` are shown at `OBJECTS` wherever a checkout is."""
        self._host = host
        self._url = url
        self._limits = limits
        self._resolve = resolve
        self._environ = environ
        self._quiet_s = quiet_s

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[Self]:
        """Nobody removes it meanwhile."""
        async with locked(self.folder / "lock", shared=True):
            os.utime(self.folder / "lock")  # who sweeps looks when it was used last
            yield self

    async def fetch(self, ref: str, *, limit_s: float) -> str:
        """Find out which commit `ref` is now, and have it; in one connection, or none where somebody is as fast.

        Who waited for another fetch takes its answer if that one began later than the question: never an older one.

        Raises:
            PrepareError: `clone.*`.
            EngineError: there is no sandbox for git.

        """
        asked = _now()
        await checkpoint()  # whoever asks at the same time is before the answer
        try:
            ref = check_ref(ref)
            with anyio.fail_after(limit_s):
                async with self.held(), locked(self.folder / "fetch.lock"):
                    return self._fetched_since(asked, ref) or await self._fetch_whole(ref)
        except RefError as error:
            raise PrepareError("clone.ref", str(error)) from error
        except TimeoutError as error:
            raise PrepareError("clone.timeout", f"no clone within {limit_s:g} s") from error
        except OSError as error:
            raise disk_error(error) from error

    async def check_out(self, commit: str, folder: Path, *, limit_s: float = 600.0) -> None:
        """Write the tree of a commit that was fetched into `folder`, an empty one of the sandbox's, with a `.git`.

        That one is small: it borrows the objects at `OBJECTS`. Nothing of the repository's is run: no hook, no filter.

        Raises:
            PrepareError: `clone.*`; `folder` is empty then.
            EngineError: there is no sandbox for git; `folder` is empty then, too.

        """
        try:
            await check_out(self._host, self.git, commit, folder, limits=self._limits, limit_s=limit_s)
        except TimeoutError as error:
            raise PrepareError("clone.timeout", f"no checkout within {limit_s:g} s") from error
        except OSError as error:
            raise disk_error(error) from error

    def _fetched_since(self, asked: float, ref: str) -> str:
        """The commit that `ref` was in a fetch that began after `asked`; nothing if there was none."""
        commit, began = self._fetched().get(ref, ("", 0.0))
        return commit if asked <= began <= _now() else ""

    def _fetched(self) -> dict[str, tuple[str, float]]:
        try:
            content = (self.folder / "fetched.json").read_bytes()
            boot, fetched = msgspec.json.decode(content, type=tuple[str, dict[str, tuple[str, float]]])
        except (FileNotFoundError, msgspec.MsgspecError):  # or it broke when the power failed
            return {}
        return fetched if boot == _BOOT.read_text() else {}

    async def _fetch_whole(self, ref: str) -> str:
        """Fetch; if what is here turns out to be broken, begin anew, once."""
        try:
            return await self._fetch(ref)
        except (PrepareError, OSError) as error:
            if (isinstance(error, PrepareError) and error.code not in _PERHAPS_BROKEN) or await self._is_sound():
                raise
            await to_thread.run_sync(self._begin_anew)
            return await self._fetch(ref)

    async def _is_sound(self) -> bool:
        """Whether git finds all that the refs need; so, too, if it takes git too long to say."""
        what = Confinement(
            name="check",
            binds=(Bind(self.git, _CHECKED),),
            environ={**git_environ(), "GIT_DIR": _CHECKED},
            limits=self._limits,
        )
        check = git_command(["fsck", "--connectivity-only", "--no-dangling", "--no-progress"])
        try:
            done = await run_confined(self._host, check, what, limit_s=_CHECK_S)
        except TimeoutError:
            return True
        return done.status == 0

    def _begin_anew(self) -> None:
        """Remove git's objects, and checkouts, which borrow them; what has gone half way is removed by who clears."""
        for name in ("fetched.json", "trees", "workspaces", "git"):
            with suppress(FileNotFoundError):
                (self.folder / name).rename(self.folder / f"fetching-{uuid4().hex}")

    async def _fetch(self, ref: str) -> str:
        began = _now()
        await to_thread.run_sync(self._clear)
        new = self._host.make(self.folder / f"fetching-{uuid4().hex}")
        try:
            await to_thread.run_sync(borrow, self._host, self.git, new, OBJECTS)
            commit = await self._run_fetch(ref or "HEAD", new)
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(adopt, new, self.git, commit)
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(remove, new)
        self._remember(ref, commit, began)
        return commit

    def _clear(self) -> None:
        """Make the bare repository where there is none, and remove what killed fetches have left."""
        make_bare(self.git)
        for left in self.folder.glob("fetching-*"):
            remove(left)

    async def _run_fetch(self, ref: str, new: Path) -> str:
        """Let git fetch into `new`; returns the commit, which a tag may only lead to."""
        remote = await resolve_remote(self._url, self._resolve, proxied=is_proxied(self._url, self._environ))
        told, certificates = outward_git(self._environ)
        what = Confinement(
            name="fetch",
            binds=(Bind(new, _FETCHING, writable=True), Bind(self.git / "objects", OBJECTS), *certificates),
            environ={**git_environ(remote), **told, "GIT_DIR": _FETCHING},
            network=True,
            limits=self._limits,
        )
        fetch = fetch_command(remote, f"+{ref}:{_REF}", quiet_s=self._quiet_s)
        command = ["sh", "-c", _FETCH_AND_PEEL, "sh", *fetch]
        commit = await run_git(self._host, command, what, grows=new, hidden=(remote.address, str(self._url)))
        return commit.decode().strip()

    def _remember(self, ref: str, commit: str, began: float) -> None:
        latest = {**self._fetched(), ref: (commit, began)}
        kept = dict(list(latest.items())[-_REMEMBERED:])
        write_whole(self.folder / "fetched.json", json.dumps([_BOOT.read_text(), kept]))


def _now() -> float:
    """What all processes of this machine read off the same clock, which nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
