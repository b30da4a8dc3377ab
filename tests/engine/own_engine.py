"""A Dagger engine of a test's own, which it may kill."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.bare_engine import Instance, start, stop


@contextmanager
def own_engine(name: str, folder: Path, *, network_cidr: str) -> Generator[Instance]:
    """One that runs, beside all others, and keeps what it has in `folder`; its network must not meet another's."""
    engine = Instance(name=name, root=folder / "root", network_name=name, network_cidr=network_cidr, logs=folder)
    start(engine)
    try:
        yield engine
    finally:
        stop(engine)
