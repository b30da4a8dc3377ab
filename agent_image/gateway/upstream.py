"""One provider and its key: asked with patience, and never again once it has refused for good."""

import math
from collections.abc import Mapping

import anyio
import anyio.lowlevel
import httpx2
from msgspec import Struct

from agent_image.gateway.answer import Answer
from agent_image.gateway.cooldown import Cooldown, asked_for, backoff
from agent_image.gateway.headers import for_provider
from agent_image.gateway.key import Key
from agent_image.gateway.ledger import Ledger
from agent_image.gateway.plan import Patience, Provider, Wire
from agent_image.gateway.refusal import RefusedError, error_body
from agent_image.gateway.rejected import Rejected
from agent_image.gateway.request import ModelRequest
from agent_image.gateway.term import Term

_UNAUTHORIZED, _TOO_MANY = 401, 429
_FIRST_OF_CALLER, _FIRST_OF_SERVER = 400, 500
_OVERLOADED = {503, 529}
_WORTH_ANOTHER_TRY = {408, 409}
"""Of those below 500, as the providers' own SDKs have it."""
_FIRST_ALONE_S = 5.0
"""For how long other calls wait for the first one."""


class _Trouble(Struct, frozen=True):
    """Why a try came to nothing that another one may mend."""

    reason: str
    counts: bool = True
    """False if only patience is limited, not the number of tries."""
    cools: bool = False
    """True if a cool-down has begun; else the call waits by itself."""
    is_silence: bool = False
    end: str = "."
    """Of the sentence, where this was the last try."""


class Upstream:
    """A provider, for all variations that ask it."""

    def __init__(
        self, provider: Provider, key: str, *, client: httpx2.AsyncClient, patience: Patience, ledger: Ledger
    ) -> None:
        self.name = provider.name
        self.wire: Wire = provider.wire
        self._root = provider.base_url.rstrip("/").removesuffix("/v1")
        self._address = provider.address or provider.base_url
        self._key = Key(key)
        self._key_name = f" ({provider.key_name})" if provider.key_name else ""
        given = [(name.lower().encode(), value.encode()) for name, value in provider.headers.items()]
        self._headers = [*given, (b"accept-encoding", b"identity"), *self._key.headers(provider.wire)]
        self._client = client
        self._patience = patience
        self._cooldown = Cooldown(provider.name, patience, ledger)
        self._first = anyio.Lock()
        self._has_answered = False
        self._refused: tuple[str, str] | None = None

    async def ask(self, request: ModelRequest, term: Term) -> Answer | Rejected:
        """Ask until there is an answer, for as long and as often as it is allowed.

        Raises:
            RefusedError: there is none.

        """
        term.hurry(self._patience.call_s)
        failures, silences, patience_s = 0, 0, self._patience.longest_wait_s
        while True:
            await anyio.lowlevel.checkpoint()  # whose caller has left, is not sent again
            waited_s = await self._cooldown.wait(patience_s)
            patience_s -= waited_s
            term.prolong(waited_s)
            outcome = await self._try(request, term)
            if not isinstance(outcome, _Trouble):
                return outcome
            failures += outcome.counts
            silences += outcome.is_silence
            if failures > self._patience.retries or silences > 1:
                tried = "once" if failures == 1 else f"{failures} times"
                raise RefusedError("llm.unavailable", f"{outcome.reason}{outcome.end} It was tried {tried}.")
            if outcome.counts and not outcome.cools:
                await self._back_off(outcome.reason, failures, term)

    async def _back_off(self, reason: str, failures: int, term: Term) -> None:
        pause_s = backoff(self._patience, failures)
        if pause_s >= term.left_s:
            raise self._too_long()
        self._cooldown.tell(f"{reason}; it is tried again", pause_s)
        await anyio.sleep(pause_s)

    async def _try(self, request: ModelRequest, term: Term) -> Answer | Rejected | _Trouble:
        """Try once: alone, until there has been an answer, if that does not take long.

        So a wrong key is found out by one request, and the first one writes the prompt cache that others read.
        """
        if self._has_answered or not request.is_metered:
            return await self._send(request, term)
        is_alone = False
        with anyio.move_on_after(_FIRST_ALONE_S):
            await self._first.acquire()
            is_alone = True
        try:
            return await self._send(request, term)
        finally:
            if is_alone:
                self._first.release()

    async def _send(self, request: ModelRequest, term: Term) -> Answer | Rejected | _Trouble:
        if self._refused:
            raise RefusedError(*self._refused)
        if self._cooldown.is_on:  # it began while this one waited for its turn
            return _Trouble("", counts=False)
        prepared, sent_at = self._prepared(request), anyio.current_time()
        term.is_asked = True
        try:
            response = await self._head(prepared, self._patience.silence_s if request.is_stream else math.inf, term)
        except httpx2.LocalProtocolError as error:
            term.is_asked = False
            raise RefusedError("llm.refused", f"This request cannot be sent on: {error}") from error
        except httpx2.RequestError as error:
            term.is_asked = False
            return self._broken(error)
        if response is None:
            return self._silent(term)
        answer = Answer(response, key=self._key, silence_s=self._patience.silence_s, term=term)
        if response.is_success:
            self._note_answer()
            return answer
        term.is_asked = False
        return self._judge(request, await self._rejected(answer, request), response.headers, sent_at)

    async def _head(self, prepared: httpx2.Request, longest_s: float, term: Term) -> httpx2.Response | None:
        """Return an answer as soon as its head is there; None if that takes too long."""
        with term.limit(longest_s):
            return await self._client.send(prepared, stream=True)
        return None

    def _prepared(self, request: ModelRequest) -> httpx2.Request:
        query = f"?{request.query.decode('latin-1')}" if request.query else ""
        try:
            url = httpx2.URL(f"{self._root}{request.path}{query}")
        except httpx2.InvalidURL as error:
            raise RefusedError("llm.refused", f"This is no query: {error}") from error
        headers = list(for_provider(request.headers, self._headers))
        return self._client.build_request("POST", url, headers=headers, content=request.body)

    def _silent(self, term: Term) -> _Trouble:
        if term.left_s <= 0:
            raise self._too_long()
        return _Trouble(
            f"The provider {self.name} did not answer within {self._patience.silence_s:g} s", is_silence=True
        )

    def _broken(self, error: httpx2.RequestError) -> _Trouble:
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            reason = f"The provider {self.name} cannot be reached at {self._address} ({_cause(error)})"
            return _Trouble(reason, end=": is it running?")
        return _Trouble(f"The provider {self.name} broke the connection off ({type(error).__name__}: {error})")

    def _too_long(self) -> RefusedError:
        limit = f"within {self._patience.call_s:g} s, the most that a call may take here"
        return RefusedError("llm.silent", f"The provider {self.name} gave no answer {limit}.")

    async def _rejected(self, answer: Answer, request: ModelRequest) -> Rejected:
        """Read an error; one that cannot be read is known by its status alone."""
        try:
            body = await answer.whole()
        except RefusedError as error:
            body = error_body(request.wire, RefusedError("llm.refused", f"It cannot be read what was said: {error}"))
        finally:
            await answer.close()
        return Rejected(answer.status, answer.headers, body)

    def _judge(
        self, request: ModelRequest, rejected: Rejected, headers: Mapping[str, str], sent_at: float
    ) -> Rejected | _Trouble:
        status, asked_s = rejected.status, asked_for(headers)
        self._stop_for_good(rejected)
        if status < _FIRST_OF_CALLER:
            raise RefusedError("llm.refused", f"The provider {self.name} is elsewhere: it answers {status}.")
        if headers.get("x-should-retry") == "false":
            return rejected
        if not request.is_metered and (status == _TOO_MANY or status in _OVERLOADED):
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
            reason = f"The provider {self.name} refused the key{self._key_name}. Put the right one there"
            self._refused = ("llm.auth", f"{reason} and start again.")
        elif rejected.status < _FIRST_OF_SERVER and rejected.is_about_money(self.wire):
            reason = f"The account at the provider {self.name} may spend no more. Raise its limit or its credit"
            self._refused = ("llm.spend_limit", f"{reason} and start again.")
        if self._refused:
            raise RefusedError(*self._refused)

    def _note_answer(self) -> None:
        self._has_answered = True
        self._cooldown.end()


def _cause(error: BaseException) -> str:
    """Say in a few words why there is no connection."""
    if isinstance(error, httpx2.ConnectTimeout):
        return "no answer"
    below: BaseException | None = error
    while below:
        if isinstance(below, ConnectionRefusedError):
            return "connection refused"
        below = below.__cause__ or below.__context__
    return str(error) or type(error).__name__
