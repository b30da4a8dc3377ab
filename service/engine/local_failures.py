"""What this machine refuses, in the words of an engine: a full disk is a run's, or a variation's, bad luck."""

import errno
from collections.abc import Generator
from contextlib import contextmanager
from subprocess import CalledProcessError

from service.errors import EngineError

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def told_as_engine_errors() -> Generator[None]:
    """Raise what the operating system, or a program of its own, has against it as an `EngineError`."""
    try:
        yield
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        why = error.strerror or str(error) or "it took too long"
        raise EngineError("engine.disk_full" if error.errno in _FULL else "engine.failed", f"{why}{where}") from error
    except CalledProcessError as error:
        raise program_failed(error.stderr) from error


def program_failed(stderr: bytes) -> EngineError:
    """What a program says that was to work on files."""
    said = stderr.decode(errors="replace").strip().rpartition("\n")[2]
    is_full = "No space left" in said or "quota exceeded" in said
    return EngineError("engine.disk_full" if is_full else "engine.failed", said or "a program failed without a word")
