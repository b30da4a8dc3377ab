"""How long anything may take, so that what hangs is named."""

from collections.abc import Generator
from contextlib import contextmanager

import anyio

from tests.bench.errors import BenchError


@contextmanager
def limit(seconds: float, what: str) -> Generator[None]:
    """Raise `BenchError` where `what` takes longer."""
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError as error:
        raise BenchError(f"{what} took longer than {seconds:g} s") from error
