"""What the variations of a run share on this machine, and what runs of one repository share.

    repositories/<hash of the URL>/
        git/                    the bare repository, see `repository.py`
        trees/<commit>/         a checkout, and an empty home
        workspaces/<hash>/      what the setup commands made of it, and what they printed
        cache/                  theirs, from run to run
        cache.looked            its date says when somebody looked how much that takes
        …/<name>.used           its date says when the checkout, or the workspace, of that name was used

Checkouts and workspaces are made elsewhere and renamed, so that each is whole or not there.
"""

import hashlib
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from weakref import WeakValueDictionary

import anyio

from agent_image.events import Finished, Outcome, decode_line
from aideator.places import CACHE
from service.engine import Ended, Line, SandboxSpec
from service.engine.failures import setup_error
from service.engine.local.confinement import Bind
from service.engine.local.harness import LocalHarness, Step
from service.engine.local.host import Host
from service.engine.local.leftovers import note_use
from service.engine.local.repository import OBJECTS, Repository
from service.engine.local.trees import Tree, derive
from service.errors import PrepareError

_PRINTED = "printed"

Turns = WeakValueDictionary[str, anyio.Semaphore]
"""By path: one at a time makes what is to be there, and who waits finds it. Who takes a turn may not be who ends it."""


class LocalWorkspace:
    """`clone`, then `set_up`, then as many trees as there are variations, while the repository is held.

    `folder` is the run's own, on the file system of the repositories.
    """

    commit: str
    """What the ref is; there once `clone` is done."""

    def __init__(self, host: Host, repository: Repository, spec: SandboxSpec, folder: Path, turns: Turns) -> None:
        self._host = host
        self._repository = repository
        self._spec = spec
        self._folder = folder
        self._turns = turns
        self._layers: tuple[Path, ...] = ()
        self.binds = (Bind(repository.git / "objects", OBJECTS),)
        """What a tree needs to be a repository: its objects."""
        self.printed = folder / "setup.jsonl"
        """The file with what the setup commands printed."""

    @property
    def base(self) -> Path:
        """The checkout as it was, which nobody writes to."""
        return self._repository.folder / "trees" / self.commit

    async def clone(self) -> None:
        """Fetch the commit and check it out, once for all runs. Raises `PrepareError` with one of `clone.*`."""
        limit_s = self._spec.clone_timeout_s
        try:
            with anyio.fail_after(limit_s):
                self.commit = await self._repository.fetch(self._spec.ref, limit_s=limit_s)
                async with self._turn(self.base):
                    if not self.base.exists():
                        await self._check_out()
        except TimeoutError as error:
            raise PrepareError("clone.timeout", f"no clone within {limit_s:g} s") from error
        note_use(self.base)
        self._layers = (self.base,)

    async def _check_out(self) -> None:
        new = self._folder / "base"
        self._host.make(new / "home")
        await self._repository.check_out(self.commit, self._host.make(new / "workspace"))
        _keep(new, self.base)

    async def set_up(self, harness: LocalHarness, fingerprint: Sequence[str], *, network: bool) -> AsyncGenerator[Line]:
        """Run the setup commands; yields what they print, and nothing where they have been run before.

        `fingerprint` tells the programs that there are besides the repository's from others.

        Raises:
            PrepareError: `setup.*`.

        """
        if not self._spec.setup:
            return
        place = self._place(fingerprint, network=network)
        async with self._turn(place):
            if not place.exists():
                tree = await derive(self._host, self._layers, self._folder / "set_up")
                said: Finished | None = None
                async with aclosing(harness.run(self._step(tree, network=network))) as items:
                    async for item in items:
                        if isinstance(item, Line):
                            event = decode_line(item.data)
                            said = event if isinstance(event, Finished) else said
                            yield item
                        else:
                            self._check(item, said)
                self.printed.rename(self._folder / "set_up" / _PRINTED)
                _keep(self._folder / "set_up", place)
        note_use(place)
        self.printed = place / _PRINTED
        self._layers = (place / "upper", *self._layers)

    def _check(self, ended: Ended, said: Finished | None) -> None:
        """Raise `PrepareError` where the setup has not come to its end, by its harness's word and status.

        What it runs is in reach of the sandbox's first process, by which it may have its way with the status alone.
        """
        if ended.detail and ended.exit:
            raise PrepareError("setup.failed", f"a setup command failed: {ended.detail}")
        if ended.exit:
            raise setup_error(ended.exit, self._spec.setup_timeout_s, said)
        if said is None or said.outcome is not Outcome.SUBMITTED:
            raise PrepareError("setup.failed", "the harness ended without a word")

    def _place(self, fingerprint: Sequence[str], *, network: bool) -> Path:
        """Where the workspace is that these commands make of this commit, in this way."""
        made_of = [self.commit, self._spec.setup, self._host.means, network, *fingerprint]
        name = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]
        return self._repository.folder / "workspaces" / name

    def _step(self, tree: Tree, *, network: bool) -> Step:
        cache = self._repository.folder / "cache"
        if not cache.exists():
            self._host.make(cache)
        limit_s = self._spec.setup_timeout_s
        return Step(
            name=f"{self._spec.run_id}.setup",
            producer="setup",
            arguments=[f"--timeout={limit_s:g}", *(f"--setup={command}" for command in self._spec.setup)],
            tree=tree,
            printed=self.printed,
            environ={"RUN_ID": str(self._spec.run_id), "XDG_CACHE_HOME": CACHE},
            binds=(*self.binds, Bind(cache, CACHE, writable=True)),
            network=network,
            limit_s=limit_s,
            grows=(cache,),
        )

    async def derive(self, name: str) -> Tree:
        """A tree of its own for one variation."""
        return await derive(self._host, self._layers, self._folder / name)

    @asynccontextmanager
    async def _turn(self, place: Path) -> AsyncGenerator[None]:
        turn = self._turns.setdefault(str(place), anyio.Semaphore(1))
        async with turn:
            yield


def _keep(new: Path, place: Path) -> None:
    """Put what is whole where it is looked for; another service may have been faster."""
    place.parent.mkdir(exist_ok=True)
    try:
        new.rename(place)
    except OSError:
        if not place.exists():
            raise
