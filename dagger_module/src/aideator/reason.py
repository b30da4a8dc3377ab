"""Why something failed, in one line."""

import dagger

_FIRST_OF_SIGNALS = 128
CRASHED = 70


def reason_of(error: dagger.QueryError) -> str:
    """The error's first line, without what the engine adds for its traces."""
    lines = str(error).partition(" [traceparent")[0].strip().splitlines()
    return lines[0] if lines else type(error).__name__


def exit_and_reason(error: dagger.ExecError) -> tuple[int, str]:
    """The exit status of a harness whose step failed, and why: a signal killed it, or it never ran."""
    if error.exit_code > _FIRST_OF_SIGNALS:
        return error.exit_code, f"killed by signal {error.exit_code - _FIRST_OF_SIGNALS}"
    return CRASHED, ": ".join(filter(None, [reason_of(error), last_line(error.stderr)]))


def last_line(text: str) -> str:
    """The last line that says something; empty if none does."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
