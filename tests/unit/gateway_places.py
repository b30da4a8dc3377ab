"""A gateway that several tests share, before one fake provider: each test has a place in it that is its own.

A place has models of its own, by which the fake's faults and records go too; providers of its own, so what the gateway
knows of a provider is no other test's affair; and tokens of its own.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import anyio
import httpx2
import msgspec
from any_wire import PATHS
from gateway_process import CONTROL, LIMIT_S, NO_TLS, GatewayProcess, gateway
from msgspec import Struct

from agent_image.events import CallFailed, Usage, Waiting
from agent_image.gateway.plan import Grant, Limits, Patience, Plan, Price, Provider, Wire
from tests.providers.fake import FakeProvider
from tests.providers.faults import Fault
from tests.providers.recorded import Recorded

WIRES: Sequence[Wire] = ("messages", "chat", "responses")
PRICE = Price(input=1.0, output=10.0, cache_read=0.5, cache_write=2.0)
VARIATIONS = 8
"""In each place."""


class Kind(Struct, frozen=True, kw_only=True):
    """What a place is like."""

    base_url: str = "{fake}"
    key_variable: str = "GOOD_KEY"
    share: Limits = Limits()
    lifetime_s: float = 1000.0
    price: Price | None = PRICE


PLAIN = Kind()


class Received(Struct):
    """A stream as it came."""

    content: bytes
    is_aborted: bool

    def error(self, wire: Wire) -> dict[str, Any]:
        """Return the error that the stream ends with, which has to be one in this wire format."""
        assert self.content.endswith(b"\n\n")
        events = [event.splitlines() for event in self.content.removesuffix(b"\n\n").split(b"\n\n")]
        bodies = [msgspec.json.decode(lines[-1].removeprefix(b"data: ")) for lines in events[-2:]]
        if wire != "responses":
            assert events[-1][:-1] == ([] if wire == "chat" else [b"event: error"])
            return bodies[-1]["error"]
        error, failed = bodies
        assert (error["type"], failed["type"], failed["response"]["status"]) == ("error", "response.failed", "failed")
        assert error["code"] == error["error"]["code"] == failed["response"]["error"]["code"]
        return error["error"]


class Place(Struct, frozen=True):
    number: int
    kind: Kind
    gateway: GatewayProcess
    fake: FakeProvider

    def model(self, wire: Wire) -> str:
        return _models(self.number)[wire]

    def token(self, index: int = 0) -> str:
        return f"token-{self.variation(index)}"

    def variation(self, index: int = 0) -> int:
        return self.number * VARIATIONS + index

    def headers(self, index: int = 0) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(index)}"}

    @property
    def url(self) -> str:
        return self.gateway.url

    @property
    def seen(self) -> list[Recorded]:
        """What the provider saw of it."""
        return [request for request in self.fake.requests if request.model in _models(self.number).values()]

    @property
    def usages(self) -> list[Usage]:
        return [event for event in self.gateway.ledger(Usage) if self._is_own(event.variation)]

    @property
    def failures(self) -> list[CallFailed]:
        return [event for event in self.gateway.ledger(CallFailed) if self._is_own(event.variation)]

    @property
    def waits(self) -> list[Waiting]:
        return [event for event in self.gateway.ledger(Waiting) if event.provider in _names(self.number)]

    def fail_next(self, fault: Fault, *, times: int | None = 1) -> None:
        for model in set(_models(self.number).values()):
            self.fake.fail_next(fault, times=times, model=model)

    async def ask(self, wire: Wire, *, index: int = 0, stream: bool = False, **fields: Any) -> httpx2.Response:
        """Ask for something, and read the answer whole."""
        async with httpx2.AsyncClient(verify=NO_TLS, timeout=LIMIT_S) as client:
            return await client.post(
                self.url + PATHS[wire],
                headers=self.headers(index),
                json=self.body(wire, stream=stream, **fields),
            )

    async def ask_stream(self, wire: Wire, *, index: int = 0, into: "Received | None" = None) -> "Received":
        """Ask for a stream, and take what comes of it; `into` what others look at while it comes."""
        received = into or Received(b"", is_aborted=False)
        url, headers, body = self.url + PATHS[wire], self.headers(index), self.body(wire, stream=True)
        async with httpx2.AsyncClient(verify=NO_TLS, timeout=LIMIT_S) as client:
            try:
                async with client.stream("POST", url, headers=headers, json=body) as answer:
                    async for chunk in answer.aiter_bytes():
                        received.content += chunk
            except httpx2.RemoteProtocolError:
                received.is_aborted = True
        return received

    async def ask_all(self, wire: Wire, **fields: Any) -> list[httpx2.Response]:
        """Ask once for each variation, all at once."""
        answers: list[httpx2.Response] = []

        async def ask(index: int) -> None:
            answers.append(await self.ask(wire, index=index, **fields))

        async with anyio.create_task_group() as tasks:
            for index in range(VARIATIONS):
                tasks.start_soon(ask, index)
        return answers

    def body(self, wire: Wire, **fields: Any) -> dict[str, Any]:
        """A request that a provider takes."""
        said = {"input": "Hi."} if wire == "responses" else {"messages": [{"role": "user", "content": "Hi."}]}
        return {"model": self.model(wire), "max_tokens": 100, **said, **fields}

    async def until_seen(self, requests: int) -> None:
        await self.fake.until(lambda: len(self.seen) == requests)

    def _is_own(self, variation: int | None) -> bool:
        return variation is not None and variation // VARIATIONS == self.number


class Places:
    """The places that no test has taken yet."""

    def __init__(self, kinds: Iterable[Kind], running: GatewayProcess, fake: FakeProvider) -> None:
        self._free = [Place(number, kind, running, fake) for number, kind in enumerate(kinds)]

    def take(self, kind: Kind = PLAIN) -> Place:
        place = next(place for place in self._free if place.kind == kind)
        self._free.remove(place)
        return place


@contextmanager
def places(fake: FakeProvider, kinds: Sequence[Kind], patience: Patience) -> Generator[Places]:
    """Run a gateway with a place of each kind."""
    numbered = list(enumerate(kinds))
    plan = Plan(
        control_token=CONTROL,
        providers=[each for number, kind in numbered for each in _providers(number, kind, fake.url)],
        grants=[each for number, kind in numbered for each in _grants(number, kind)],
        prices={model: kind.price for number, kind in numbered for model in _models(number).values() if kind.price},
        patience=patience,
    )
    with gateway(plan) as running:
        yield Places(kinds, running, fake)


def error_of(wire: Wire, answer: httpx2.Response) -> dict[str, Any]:
    """Return the error in an answer, which has to be one in this wire format."""
    body = answer.json()
    if wire == "messages":
        assert body["type"] == "error"
    else:
        assert body["error"]["param"] is None
    assert body["error"]["type"]
    return body["error"]


def _models(number: int) -> dict[Wire, str]:
    return {"messages": f"m-{number}", "chat": f"o-{number}", "responses": f"o-{number}"}


def _names(number: int) -> tuple[str, str]:
    return f"anthropic-{number}", f"openai-{number}"


def _providers(number: int, kind: Kind, url: str) -> list[Provider]:
    base_url = kind.base_url.format(fake=url)
    anthropic, openai = _names(number)
    return [
        Provider(name=anthropic, wire="messages", base_url=base_url, key_variable=kind.key_variable),
        Provider(name=openai, wire="responses", base_url=base_url, key_variable=kind.key_variable),
    ]


def _grants(number: int, kind: Kind) -> list[Grant]:
    anthropic, openai = _names(number)
    models = {f"m-{number}": anthropic, f"o-{number}": openai}
    variations = range(number * VARIATIONS, (number + 1) * VARIATIONS)
    return [
        Grant(
            token=f"token-{variation}",
            variation=variation,
            models=models,
            share=kind.share,
            lifetime_s=kind.lifetime_s,
        )
        for variation in variations
    ]
