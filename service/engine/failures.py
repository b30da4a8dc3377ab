"""What engines fail with in the same words."""

from agent_image.events import EXIT_STATUS, Event, Finished, Outcome
from service.errors import PatchError, PrepareError

PATCH_LIMIT = 64 << 20
"""Bytes of a patch that is kept; a larger one is no patch that anyone reviews."""


def check_size(patch_bytes: int) -> None:
    """Raise `PatchError` for a patch that is too large."""
    if patch_bytes > PATCH_LIMIT:
        raise PatchError(f"the patch has {patch_bytes} bytes, more than the {PATCH_LIMIT} that are kept")


def setup_error(exit_status: int, limit_s: float, last: Event | None) -> PrepareError:
    """Why setup commands came to nothing, by the status of the harness that ran them, and by its last event."""
    if exit_status == EXIT_STATUS[Outcome.TIMED_OUT]:
        return PrepareError("setup.timeout", f"the setup commands took longer than {limit_s:g} s")
    why = last.reason if isinstance(last, Finished) else "a setup command failed"
    return PrepareError("setup.failed", f"{why}; the log of the run has what it printed")
