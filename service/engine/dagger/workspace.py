"""What the variations of a run share on a Dagger engine, made step by step so that each failure has its name."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import dagger
from dagger import PortForward

from aideator.workspace import with_git, workspace
from service.engine import SandboxSpec
from service.engine.clone import clone_error
from service.engine.dagger.failure import message_of
from service.engine.output import Output, unheard
from service.errors import PrepareError

_TUNNEL_S = 10
_GRACE_S = 30


class DaggerWorkspace:
    """`clone`, then `set_up`; `base` and `commit` are there once the clone is."""

    base: dagger.Directory
    commit: str

    def __init__(self, client: dagger.Client, spec: SandboxSpec, harness: dagger.Directory) -> None:
        self._client = client
        self._spec = spec
        self._harness = harness

    async def clone(self, output: Output) -> None:
        """Resolve the ref once and fetch its commit. Raises `PrepareError` with one of the codes `clone.*`."""
        limit_s = self._spec.clone_timeout_s
        try:
            with anyio.fail_after(limit_s):
                async with self._repository() as repository:
                    at = repository.ref(self._spec.ref) if self._spec.ref else repository.head()
                    self.commit = await at.commit()
                    self.base = await at.tree().sync()
        except TimeoutError as error:
            raise PrepareError("clone.timeout", f"no clone within {limit_s:g} s") from error
        except dagger.QueryError as error:
            url = str(self._spec.repo_url)  # left out, for any word may stand in it
            said = (await output.words_of_git()).replace(url, "it")
            raise clone_error(message_of(error).replace(url, "it"), said) from error

    @asynccontextmanager
    async def _repository(self) -> AsyncGenerator[dagger.GitRepository]:
        """The remote; one on this machine is reached through this session, for an engine may be somewhere else.

        That tunnel begins and ends while the session is whole: engine 0.19.10 panics, and with it go all of its runs,
        when something connects to the tunnel of a session that has just gone.
        """
        url = self._spec.repo_url
        if not url.is_this_machine:
            yield self._client.git(str(url))
            return
        forward = PortForward(backend=url.port, frontend=url.port)
        tunnel = self._client.host().service([forward], host="[::1]" if url.host == "::1" else "localhost")
        address = f"{url.scheme}://{await tunnel.hostname()}:{url.port}{url.path}"
        try:
            with anyio.move_on_after(_TUNNEL_S, shield=True):
                await tunnel.start()
            yield self._client.git(address, experimental_service_host=tunnel)
        finally:
            with anyio.move_on_after(_TUNNEL_S, shield=True):
                await tunnel.stop()

    async def set_up(self) -> dagger.Container:
        """Get the image and run the setup commands.

        Raises:
            PrepareError: `image.*`, or `setup.timeout` where they do not end.
            dagger.ExecError: a setup command failed; `failed_setup` says what that means.

        """
        limit_s = self._spec.setup_timeout_s
        try:
            with anyio.fail_after(limit_s + _GRACE_S):  # the harness keeps the same limit, and says so in the log
                with unheard():
                    await self._image()
                    await self._harness.sync()
                return await workspace(
                    self._client,
                    image=self._spec.image,
                    base=self.base,
                    harness=self._harness,
                    repository=str(self._spec.repo_url),
                    setup=self._spec.setup,
                    setup_timeout_s=limit_s,
                ).sync()
        except TimeoutError as error:
            raise PrepareError("setup.timeout", f"image and setup were not ready within {limit_s:g} s") from error

    async def _image(self) -> None:
        try:
            await with_git(self._client, self._spec.image).sync()
        except dagger.ExecError as error:
            raise PrepareError("image.failed", message_of(error, said=error.stderr)) from error
        except dagger.QueryError as error:
            message = message_of(error)
            raise PrepareError("image.not_found" if "not found" in message else "image.failed", message) from error
