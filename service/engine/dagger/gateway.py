"""The gateway of a run on a Dagger engine: a service of the run's session, with a tunnel to it from here."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
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
from service.engine.dagger.forwarder import HEADER, Forwarder
from service.engine.output import Output
from service.errors import EngineError

_PORTS = {"http": 80, "https": 443}
_CONTROL_S = 10.0
_STOP_S = 10.0


class DaggerGateway:
    """Runs with `packages` beside the harness, and prints to `output`.

    `ports` of this machine are its providers', by the host names in the plan.
    """

    def __init__(
        self,
        client: dagger.Client,
        output: Output,
        *,
        run_id: UUID,
        models: Models,
        ports: Mapping[str, int],
        harness: dagger.Directory,
        packages: dagger.Directory,
    ) -> None:
        self._client = client
        self._output = output
        self.was_told_to_end = False
        self._run_id = run_id
        self._plan = models.plan
        self._service = gateway(
            client,
            harness=harness,
            packages=packages,
            plan=self._secret("plan", msgspec.json.encode(models.plan).decode()),
            keys={variable: self._secret(variable, key) for variable, key in models.keys.items()},
            upstreams={
                host: client.host().service([PortForward(backend=port, frontend=port)]) for host, port in ports.items()
            },
        )
        self._control = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {models.plan.control_token}"}, timeout=_CONTROL_S, trust_env=False
        )

    def _secret(self, name: str, value: str) -> dagger.Secret:
        return self._client.set_secret(f"aideator-{self._run_id}-{name}", value)

    def access(self, index: int) -> Access | None:
        """What lets variation `index` in; None for one that asks no model."""
        for grant in self._plan.grants:
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
        with suppress(httpx2.HTTPError, RuntimeError):  # the latter: it has been stopped
            await self._control.post(f"/control/retire/{index}")

    async def end(self) -> None:
        """Let it come to its end, and its output with it."""
        self.was_told_to_end = True
        with anyio.move_on_after(_STOP_S):
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


@asynccontextmanager
async def forwarded(plan: Plan) -> AsyncGenerator[tuple[dict[str, int], Plan]]:
    """Make the providers on this machine's loopback reachable: an engine may be somewhere else.

    Yields ports to tunnel, by the names of their hosts, and the plan in which those are the providers' hosts.
    """
    ports: dict[str, int] = {}
    providers: list[Provider] = []
    async with AsyncExitStack() as stack:
        for provider in plan.providers:
            url = urlsplit(provider.base_url)
            if not is_loopback(url.hostname or ""):
                providers.append(provider)
                continue
            forwarder = Forwarder(url.hostname or "", url.port or _PORTS[url.scheme], tls=url.scheme == "https")
            await stack.enter_async_context(forwarder.running())
            host = f"provider-{len(ports)}"
            ports[host] = forwarder.port
            there = urlunsplit(url._replace(scheme="http", netloc=f"{host}:{forwarder.port}"))
            headers = {**provider.headers, "host": url.netloc, HEADER: forwarder.secret}
            address = provider.address or provider.base_url
            providers.append(structs.replace(provider, base_url=there, headers=headers, address=address))
        yield ports, structs.replace(plan, providers=providers)
