"""The gateway of a run on a Dagger engine: a service of the run's session, with a tunnel to it from here."""

from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import anyio
import dagger
import httpx2
import msgspec
from dagger import PortForward
from msgspec import structs

from agent_image.gateway.plan import Plan, Provider
from aideator.gateway import PORT, gateway
from aideator.variation import Access
from service.address import is_loopback
from service.engine import Models
from service.engine.output import Output
from service.errors import EngineError

_CONTROL_S = 10.0
_STOP_S = 10.0


class DaggerGateway:
    """Runs with `packages` beside the harness, and prints to `output`."""

    def __init__(
        self,
        client: dagger.Client,
        output: Output,
        *,
        run_id: UUID,
        models: Models,
        harness: dagger.Directory,
        packages: dagger.Directory,
    ) -> None:
        self._client = client
        self._output = output
        self.was_told_to_end = False
        self._run_id = run_id
        self._models = models
        upstreams, plan = _on_this_machine(client, models.plan)
        self._service = gateway(
            client,
            harness=harness,
            packages=packages,
            plan=self._secret("plan", msgspec.json.encode(plan).decode()),
            keys={variable: self._secret(variable, key) for variable, key in models.keys.items()},
            upstreams=upstreams,
        )
        self._control = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {models.plan.control_token}"}, timeout=_CONTROL_S, trust_env=False
        )

    def _secret(self, name: str, value: str) -> dagger.Secret:
        return self._client.set_secret(f"aideator-{self._run_id}-{name}", value)

    def access(self, index: int) -> Access | None:
        """What lets variation `index` in; None for one that asks no model."""
        for grant in self._models.plan.grants:
            if grant.variation == index:
                return Access(gateway=self._service, token=self._secret(f"token-{index}", grant.token))
        return None

    async def start(self) -> None:
        with self._output.traced():
            await self._service.start()
        tunnel = self._client.host().tunnel(self._service, ports=[PortForward(backend=PORT)])
        await tunnel.start()
        self._control.base_url = f"http://{await tunnel.endpoint()}"

    async def ledger(self) -> list[bytes]:
        """Every line that it has printed so far."""
        try:
            answer = await self._control.get("/control/ledger")
            answer.raise_for_status()
        except (httpx2.HTTPError, RuntimeError) as error:  # the latter: it has been stopped
            raise EngineError("gateway.failed", f"the gateway's ledger cannot be read: {error}") from error
        return answer.content.splitlines()

    async def retire(self, index: int) -> None:
        """Make the token of variation `index` worthless. A gateway that is gone has no tokens that are good."""
        with suppress(httpx2.HTTPError):
            await self._control.post(f"/control/retire/{index}")

    async def end(self) -> None:
        """Let it come to its end, and its output with it."""
        self.was_told_to_end = True
        await self._stop_service()
        await self._output.settle()
        self._output.end()

    async def stop(self) -> None:
        """End it, and wait until it has ended.

        Before its session does: what connects to a tunnel of a session that has just gone makes engine 0.19.10 panic.
        """
        with anyio.move_on_after(_STOP_S, shield=True):
            await self._stop_service()
            await self._control.aclose()

    async def _stop_service(self) -> None:
        with suppress(dagger.DaggerError):  # it has ended, or its engine has
            await self._service.stop()


def _on_this_machine(client: dagger.Client, plan: Plan) -> tuple[Mapping[str, dagger.Service], Plan]:
    """Reach providers that listen on this machine's loopback through the session: an engine may be somewhere else."""
    upstreams: dict[str, dagger.Service] = {}
    providers: list[Provider] = []
    for provider in plan.providers:
        url = urlsplit(provider.base_url)
        if not is_loopback(url.hostname or ""):
            providers.append(provider)
            continue
        port = url.port or (443 if url.scheme == "https" else 80)
        host = f"provider-{len(upstreams)}"
        forward = PortForward(backend=port, frontend=port)
        upstreams[host] = client.host().service([forward], host="[::1]" if url.hostname == "::1" else "localhost")
        there = urlunsplit(url._replace(netloc=f"{host}:{port}"))
        providers.append(structs.replace(provider, base_url=there))
    return upstreams, structs.replace(plan, providers=providers)
