"""What crosses HTTP about runs: the request, the views, and the states with their rules."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType


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


Agent = Literal["builtin", "command"]

_Line = Annotated[str, Meta(min_length=1, max_length=10_000)]


class AgentConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The first AIdeator's `agent_config`; the built-in models of this version have no temperature to set."""

    model: Annotated[str, Meta(min_length=1, max_length=200)] | UnsetType = UNSET
    temperature: Annotated[float, Meta(ge=0, le=2)] | UnsetType = UNSET


class RunRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /api/v1/runs`."""

    prompt: Annotated[str, Meta(min_length=1, max_length=100_000)]
    """What the agents are asked to do; they get exactly this."""
    repo_url: Annotated[str, Meta(max_length=2_000)] | UnsetType = UNSET
    """Which git repository; required, by this name or as `github_url`."""
    github_url: Annotated[str, Meta(max_length=2_000)] | UnsetType = UNSET
    """Another name of `repo_url`, from the first AIdeator."""
    ref: Annotated[str, Meta(max_length=255)] = ""
    """Branch, tag or commit; empty for the remote's HEAD."""
    variations: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    """How many agents work side by side; 3, or `MAX_VARIATIONS` where that is less."""
    agent: Agent = "builtin"
    model: Annotated[str, Meta(min_length=1, max_length=200)] | UnsetType = UNSET
    """What a `builtin` agent asks; `scripted` needs no key."""
    agent_config: AgentConfig | UnsetType = UNSET
    """Another place for `model`, from the first AIdeator."""
    use_claude_code: bool = False
    """From the first AIdeator; false is accepted."""
    command: Annotated[str, Meta(max_length=100_000)] = ""
    """The command line of the agent `command`, run by `sh -c`; it finds the prompt in `$PROMPT`."""
    setup: Annotated[list[_Line], Meta(max_length=50)] = []
    """Shell commands run once, before the agents, on the clone that they share."""
    image: Annotated[str, Meta(max_length=300)] | UnsetType = UNSET
    """The container image; `AGENT_CONTAINER_IMAGE` by default."""
    timeout_s: Annotated[float, Meta(gt=0, le=86_400)] | UnsetType = UNSET
    """Seconds until an agent is stopped; `AGENT_TIMEOUT` by default."""


class RunSpec(Struct, frozen=True, kw_only=True):
    """A request after every rule was applied: what is stored, and what an engine gets."""

    repo_url: str
    ref: str
    prompt: str
    variations: int
    agent: Agent
    model: str
    command: str
    setup: list[str]
    image: str
    timeout_s: float


class Accepted(Struct, frozen=True):
    """Answer to `POST /api/v1/runs`: where the run can be watched and asked about."""

    run_id: UUID
    stream_url: str
    status_url: str


class VariationView(Struct, frozen=True, kw_only=True):
    variation_id: int
    state: State
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
    agent: str
    model: str
    command: str
    setup: list[str]
    image: str
    timeout_s: float
    variations: list[VariationView]
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
