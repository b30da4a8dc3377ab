"""A run: its states with their rules, what is stored of it, and how it is shown."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from agent_image.gateway.totals import Totals


class State(StrEnum):
    """Where a run or a variation is; `queued → starting → running →` one of `ENDED`, which is final."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    LOST = "lost"


ENDED = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.TIMED_OUT, State.LOST})
OPEN = frozenset(State) - ENDED


def run_state(variations: Collection[State], *, cancelled: bool) -> State:
    """The state that an ended run has by its variations' states, all of them ended."""
    if cancelled:
        return State.CANCELLED
    for state in (State.SUCCEEDED, State.LOST):
        if state in variations:
            return state
    return State.TIMED_OUT if set(variations) == {State.TIMED_OUT} else State.FAILED


Agent = Literal["builtin", "claude-code", "codex", "command"]

SCRIPTED = "scripted"
"""The model that plays written turns: it needs no provider, and only `builtin` agents ask it."""


class Assignment(Struct, frozen=True, kw_only=True):
    """What one variation of a run has to itself."""

    agent: Agent = "builtin"
    model: str = SCRIPTED
    """`provider/name`, or `SCRIPTED`; empty for an agent `command` that asks none."""
    temperature: float | None = None
    """None leaves it to the provider."""
    prompt_suffix: str = ""
    """Stands after the run's prompt, an empty line between them."""
    command: str = ""
    """The command line of an agent `command`."""

    @property
    def asks_a_provider(self) -> bool:
        return self.model not in {"", SCRIPTED}


class Budget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the model calls of a run may come to, all variations together; at least one of the three is set."""

    usd: Annotated[float, Meta(gt=0, le=1_000_000)] | None = None
    tokens: Annotated[int, Meta(ge=1, le=10**15)] | None = None
    """Input, output and both cache counts, added up."""
    calls: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    reserve: Annotated[float, Meta(ge=0, le=0.9)] = 0.0
    """The fraction that the agents do not get: it is kept for judging what they made."""


class McpServer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A server of tools for the agents; exactly one of `command`, `url` and `serve` is set."""

    command: Annotated[list[str], Meta(max_length=100)] = []
    """A program of the container and its arguments, which speaks MCP on stdin and stdout."""
    env: Annotated[dict[str, str], Meta(max_length=100)] = {}
    """Variables for `command`; a view has their names alone."""
    url: Annotated[str, Meta(max_length=2_000)] = ""
    """`http://` or `https://`: a server that speaks streamable HTTP."""
    serve: Literal["files", "git", ""] = ""
    """A server of our own, on the repository."""


class RunSpec(Struct, frozen=True, kw_only=True):
    """A request after every rule was applied: what is stored, and what an engine gets."""

    repo_url: str
    ref: str
    prompt: str
    setup: list[str]
    image: str
    """Empty on an engine that has none: agents then run on its machine's system."""
    timeout_s: float
    agents: list[Assignment]
    """One for each variation, in their order."""
    budget: Budget | None = None
    mcp_servers: dict[str, McpServer] = {}

    @property
    def variations(self) -> int:
        return len(self.agents)

    def prompt_of(self, index: int) -> str:
        """Return what the agent of variation `index` is asked to do."""
        suffix = self.agents[index].prompt_suffix
        return f"{self.prompt}\n\n{suffix}" if suffix else self.prompt


class Accepted(Struct, frozen=True):
    """Answer to `POST /api/v1/runs`: where the run can be watched and asked about."""

    run_id: UUID
    stream_url: str
    status_url: str


class VariationView(Struct, frozen=True, kw_only=True):
    variation_id: int
    state: State
    agent: str
    model: str
    """`provider/name`, or `scripted`; empty where none is asked."""
    temperature: float | None
    prompt_suffix: str
    command: str
    exit: int | None
    """The harness's exit status, 128 + N if signal N killed it; null until it ended, or if nobody saw it end."""
    seconds: float | None
    """How long the agent worked."""
    code: str
    """Why it did not succeed, for programs; empty if it did."""
    detail: str
    """The same for people."""
    patch_bytes: int | None
    """Size of the patch; null where there is none, 0 where the agent changed nothing."""
    no_changes: bool
    patch_url: str | None
    usage: Totals | None
    """What its model calls took; null where no provider was asked, and until it ended."""


class RunView(Struct, frozen=True, kw_only=True):
    run_id: UUID
    state: State
    code: str
    detail: str
    repo_url: str
    ref: str
    commit: str
    """What `ref` was when the run began; empty until then."""
    prompt: str
    setup: list[str]
    image: str
    """Empty on an engine without images, where agents run on its machine's own system."""
    timeout_s: float
    budget: Budget | None
    mcp_servers: dict[str, McpServer]
    """As in the request, without the values of `env`."""
    variations: list[VariationView]
    usage: Totals | None
    """The variations' together; null where none has any."""
    selected: int | None
    """The variation that a person chose; null if nobody did."""
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    stream_url: str
    status_url: str


class RunPage(Struct, frozen=True):
    """A page of runs, newest first; `next` is the URL of the page after it, null at the end."""

    runs: list[RunView]
    next: str | None


class Selection(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /api/v1/runs/{run_id}/select`; a number in quotes is accepted, as the first AIdeator sent it."""

    variation_id: int | Annotated[str, Meta(pattern=r"^[0-9]{1,6}$")]


def stream_url(run_id: UUID) -> str:
    return f"/api/v1/runs/{run_id}/stream"


def status_url(run_id: UUID) -> str:
    return f"/api/v1/runs/{run_id}"


def patch_url(run_id: UUID, index: int) -> str:
    return f"/api/v1/runs/{run_id}/variations/{index}/patch"
