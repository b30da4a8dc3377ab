"""How a variation ended, and what a run's ending is by those of its variations."""

from collections.abc import Sequence

from msgspec import Struct, structs
from msgspec.structs import force_setattr

from agent_image.events import EXIT_STATUS, CallFailed, Outcome
from agent_image.gateway.totals import Totals
from service.run import State, run_state
from service.tally import Tally

_STATES = {
    Outcome.SUBMITTED: State.SUCCEEDED,
    Outcome.GAVE_UP: State.FAILED,
    Outcome.CRASHED: State.FAILED,
    Outcome.TIMED_OUT: State.TIMED_OUT,
}
_SIGNALS = range(128, 192)
"""Exit statuses that mean death by a signal; the container's files are gone then."""


class Ending(Struct, frozen=True, kw_only=True):
    """How a run or a variation ended, and why if it was not well.

    A NUL in `detail`, of which a container may have a say, becomes U+FFFD: no text column takes it.
    """

    state: State
    code: str = ""
    detail: str = ""
    exit: int | None = None
    seconds: float | None = None
    patch: bytes | None = None
    usage: Totals | None = None
    """What its model calls took; None where it has no models to ask."""

    def __post_init__(self) -> None:
        force_setattr(self, "detail", self.detail.replace("\0", "\N{REPLACEMENT CHARACTER}"))


def variation_ending(
    tally: Tally, exit_status: int, failed: CallFailed | None = None, *, code: str = "", detail: str = ""
) -> Ending:
    """What a variation's harness said of itself, as far as its exit status bears it out.

    `failed` is why its last model call came to nothing, if it did: then that is why it gave up, and all that is said.
    `code` and `detail` are what the engine has to say of a failure for which there is no such reason.
    """
    ending = _told(tally, exit_status, failed)
    if not code or ending.state is not State.FAILED or not ending.code.startswith("agent."):
        return ending
    return structs.replace(ending, code=code, detail=f"{detail}; {ending.detail}" if ending.detail else detail)


def _told(tally: Tally, exit_status: int, failed: CallFailed | None) -> Ending:
    finished = tally.finished
    if exit_status in _SIGNALS:
        detail = f"the container was killed by signal {exit_status - _SIGNALS.start}"
        return Ending(state=State.FAILED, code="agent.crashed", detail=detail, exit=exit_status)
    said = None if finished is None else finished.outcome
    if exit_status == EXIT_STATUS[Outcome.TIMED_OUT] and said is not Outcome.TIMED_OUT:
        detail = "it was still there after its deadline, its harness stopped, and was killed from outside"
        return Ending(state=State.TIMED_OUT, code="agent.timed_out", detail=detail, exit=exit_status)
    if finished is None or EXIT_STATUS[finished.outcome] != exit_status:
        detail = f"the harness ended with status {exit_status}, {f'having said {said}' if said else 'without a word'}"
        return Ending(state=State.FAILED, code="agent.crashed", detail=detail, exit=exit_status)
    state = _STATES[finished.outcome]
    code, detail = finished.code or f"agent.{finished.outcome}", finished.reason
    if failed is not None and state is State.FAILED:
        code, detail = failed.code, failed.reason or detail
    code = "" if state is State.SUCCEEDED else code
    return Ending(state=state, code=code, detail=detail, exit=exit_status, seconds=finished.seconds)


def run_ending(endings: Sequence[Ending], stopped: Ending | None) -> Ending:
    """The ending of a run by those of its variations, in their order, and by what stopped it early, if anything."""
    cancelled = stopped is not None and stopped.state is State.CANCELLED
    state = run_state([each.state for each in endings], cancelled=cancelled)
    if state in {State.SUCCEEDED, State.CANCELLED}:
        return Ending(state=state)
    if stopped is not None:
        return Ending(state=state, code=stopped.code, detail=stopped.detail)
    why = next(each for each in endings if each.state is state or state is State.FAILED)
    return Ending(state=state, code=why.code, detail=f"no variation succeeded; the first: {why.detail}")
