"""One provider and its key: asked with patience, and never again once it has refused for good."""

from collections.abc import Iterator, Mapping

import anyio
import httpx2
import msgspec
from msgspec import Struct

from agent_image.gateway.answer import Answer, Rejected
from agent_image.gateway.cooldown import Cooldown, asked_for, backoff
from agent_image.gateway.ledger import Ledger
from agent_image.gateway.plan import Patience, Provider
from agent_image.gateway.refusal import RefusedError
from agent_image.gateway.request import ModelRequest

_UNAUTHORIZED, _PAYMENT_REQUIRED, _TOO_MANY = 401, 402, 429
_FIRST_OF_SERVER = 500
_OVERLOADED = {503, 529}
_WORTH_ANOTHER_TRY = {408, 409}
"""Of those below 500, as the providers' own SDKs have it."""
_NO_MORE_MONEY = {
    "enforced_spend_limit_reached",
    "insufficient_quota",
    "billing_error",
    "billing_hard_limit_reached",
    "billing_not_active",
}
_NO_CREDIT = "credit balance is too low"
_KEPT_HERE = frozenset(
    # This connection is none of the next one's business.
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade expect host content-length "
    b"accept-encoding forwarded via x-real-ip "
    # Whose account it is, is not for an agent to say.
    b"authorization proxy-authorization x-api-key api-key cookie openai-organization openai-project "
    # Codex tells there where the repository comes from.
    b"x-codex-turn-metadata".split()
)


class _Trouble(Struct, frozen=True):
    """Why a try came to nothing that another one may mend."""

    reason: str
    counts: bool = True
    """False if only patience is limited, not the number of tries."""
    cools: bool = False
    """True if a cool-down has begun; else the call waits by itself."""


class _Error(Struct, frozen=True):
    type: str | None = None
    code: str | int | None = None
    message: str | None = None


class _ErrorBody(Struct, frozen=True):
    error: _Error


class Upstream:
    """A provider, for all variations that ask it."""

    def __init__(
        self, provider: Provider, key: str, *, client: httpx2.AsyncClient, patience: Patience, ledger: Ledger
    ) -> None:
        self.name = provider.name
        self.wire = provider.wire
        self._root = provider.base_url.rstrip("/").removesuffix("/v1")
        self._key = key
        self._client = client
        self._patience = patience
        self._cooldown = Cooldown(provider.name, patience, ledger)
        self._first = anyio.Lock()
        self._has_answered = False
        self._refused: tuple[str, str] | None = None

    async def ask(self, request: ModelRequest) -> Answer | Rejected:
        """Ask until there is an answer, for as long and as often as it is allowed.

        Raises:
            RefusedError: there is none.

        """
        failures, patience_s = 0, self._patience.longest_wait_s
        while True:
            patience_s -= await self._cooldown.wait(patience_s)
            outcome = await self._try(request)
            if not isinstance(outcome, _Trouble):
                return outcome
            failures += outcome.counts
            if failures > self._patience.retries:
                raise RefusedError("llm.unavailable", f"{outcome.reason}; it was tried {failures} times.")
            if outcome.counts and not outcome.cools:
                await anyio.sleep(backoff(self._patience, failures))

    async def _try(self, request: ModelRequest) -> Answer | Rejected | _Trouble:
        """Try once: alone, until there has been an answer.

        So a wrong key is found out by one request, and the first one writes the prompt cache that others read.
        """
        if not self._has_answered:
            async with self._first:
                if not self._has_answered:
                    return await self._send(request)
        return await self._send(request)

    async def _send(self, request: ModelRequest) -> Answer | Rejected | _Trouble:
        if self._refused:
            raise RefusedError(*self._refused)
        if self._cooldown.is_on:  # it began while this one waited for its turn
            return _Trouble("", counts=False)
        limit_s = self._patience.silence_s if request.is_stream else self._patience.call_s
        sent_at = anyio.current_time()
        try:
            with anyio.fail_after(limit_s):
                response = await self._client.send(self._prepared(request), stream=True)
        except httpx2.LocalProtocolError as error:
            raise RefusedError("llm.refused", f"This request cannot be sent on: {error}") from error
        except TimeoutError:
            return _Trouble(f"The provider {self.name} did not answer within {limit_s:g} s")
        except httpx2.RequestError as error:
            return _Trouble(f"The provider {self.name} cannot be reached ({type(error).__name__}: {error})")
        answer = Answer(response, silence_s=self._patience.silence_s, ends_at=sent_at + self._patience.call_s)
        if response.is_success:
            self._note_answer()
            return answer
        try:
            rejected = Rejected(answer.status, answer.headers, self._without_key(await answer.whole()))
        except RefusedError as error:
            return _Trouble(f"The provider {self.name} answered {answer.status}, and no more: {error}")
        finally:
            await answer.close()
        return self._judge(rejected, response.headers, sent_at)

    def _prepared(self, request: ModelRequest) -> httpx2.Request:
        query = f"?{request.query.decode('latin-1')}" if request.query else ""
        try:
            url = httpx2.URL(f"{self._root}{request.path}{query}")
        except httpx2.InvalidURL as error:
            raise RefusedError("llm.refused", f"This is no query: {error}") from error
        headers = [*_passed_on(request.headers), (b"accept-encoding", b"identity"), *self._key_header()]
        return self._client.build_request("POST", url, headers=headers, content=request.body)

    def _key_header(self) -> Iterator[tuple[bytes, bytes]]:
        if self._key and self.wire == "messages":
            yield b"x-api-key", self._key.encode()
        elif self._key:
            yield b"authorization", b"Bearer " + self._key.encode()

    def _without_key(self, body: bytes) -> bytes:
        return body.replace(self._key.encode(), b"***") if self._key else body

    def _judge(self, rejected: Rejected, headers: Mapping[str, str], sent_at: float) -> Rejected | _Trouble:
        status, asked_s = rejected.status, asked_for(headers)
        self._stop_for_good(rejected)
        if headers.get("x-should-retry") == "false":
            return rejected
        if status == _TOO_MANY:
            reason = f"The provider {self.name} limits the rate of its calls"
            self._cooldown.begin("llm.rate_limited", reason, asked_s, sent_at=sent_at)
            return _Trouble(reason, counts=False, cools=True)
        if status in _OVERLOADED:
            reason = f"The provider {self.name} is overloaded ({status})"
            self._cooldown.begin("llm.unavailable", reason, asked_s, sent_at=sent_at)
            return _Trouble(reason, cools=True)
        if status >= _FIRST_OF_SERVER or status in _WORTH_ANOTHER_TRY:
            return _Trouble(f"The provider {self.name} failed ({status})")
        self._note_answer()
        return rejected

    def _stop_for_good(self, rejected: Rejected) -> None:
        if rejected.status == _UNAUTHORIZED:
            self._refused = ("llm.auth", f"The provider {self.name} refused the key. Nobody here can ask it any more.")
        elif rejected.status < _FIRST_OF_SERVER and _is_about_money(rejected):
            reason = f"The account at the provider {self.name} may spend no more. Nobody here can ask it any more."
            self._refused = ("llm.spend_limit", reason)
        if self._refused:
            raise RefusedError(*self._refused)

    def _note_answer(self) -> None:
        self._has_answered = True
        self._cooldown.end()


def _passed_on(headers: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    named = {name.strip().lower() for key, value in headers if key == b"connection" for name in value.split(b",")}
    for name, value in headers:
        if name not in _KEPT_HERE and name not in named and not name.startswith(b"x-forwarded-"):
            yield name, value


def _is_about_money(rejected: Rejected) -> bool:
    """Whether the account's limit was reached. Only the error's own fields count: other text may be an agent's."""
    if rejected.status == _PAYMENT_REQUIRED:
        return True
    try:
        error = msgspec.json.decode(rejected.body, type=_ErrorBody).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return bool({error.type, error.code} & _NO_MORE_MONEY) or _NO_CREDIT in (error.message or "").lower()
