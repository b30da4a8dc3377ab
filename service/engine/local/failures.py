"""What this machine refuses, in the words of an engine: a full disk is a run's, or a variation's, bad luck."""

import errno
from collections.abc import Generator
from contextlib import contextmanager
from subprocess import CalledProcessError

from service.errors import EngineError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_IS_FULL = "no space is left on the disk that LOCAL_HOME is on"


@contextmanager
def told_as_engine_errors() -> Generator[None]:
    """Raise what the operating system, a program of its own, or the time, has against it as an `EngineError`."""
    try:
        yield
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        why = f"{error.strerror or error or 'it took too long'}{where}"
        raise _failed(why, is_full=error.errno in _FULL) from error
    except CalledProcessError as error:
        raise program_failed(error.stderr) from error


def program_failed(stderr: bytes) -> EngineError:
    """What a program says that was to work on files."""
    said = stderr.decode(errors="replace").strip().rpartition("\n")[2]
    is_full = "No space left" in said or "quota exceeded" in said
    return _failed(said or "a program failed without a word", is_full=is_full)


def _failed(why: str, *, is_full: bool) -> EngineError:
    return EngineError("engine.disk_full", _IS_FULL) if is_full else EngineError("engine.failed", why)
