"""A step of the build: announced, timed, and skipped when what it is made from has not changed."""

import hashlib
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

Input = str | Path


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a step is called, reads and leaves.

    `inputs` are everything that the results depend on: words for themselves, paths for what is in them.
    `takes` is said before a step that makes one wait.
    """

    name: str
    does: str
    inputs: tuple[Input, ...]
    results: tuple[Path, ...]
    takes: str = ""

    def run(self, action: Callable[[], None], *, stamps: Path) -> None:
        """Do `action`, unless the results are there and were made from the same inputs."""
        stamp, fingerprint = stamps / self.name, self.fingerprint()
        if stamp.exists() and stamp.read_text() == fingerprint and all(path.exists() for path in self.results):
            say(self.name, f"{self.does}: unchanged")
            return
        # Without its stamp, a step that is cut short is done again.
        stamp.unlink(missing_ok=True)
        if self.takes:
            say(self.name, f"{self.does}, which takes {self.takes} …")
        with timed(self.name, self.does):
            action()
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(fingerprint)

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for part in self.inputs:
            for name, content in contents(part):
                digest.update(f"{len(name)} {len(content)} {name}".encode() + content)
        return digest.hexdigest()


@contextmanager
def timed(name: str, does: str) -> Generator[None]:
    """Say what was done, and the seconds it took, once it is done."""
    start = time.monotonic()
    yield
    say(name, f"{does}: {time.monotonic() - start:.1f} s")


def say(name: str, sentence: str) -> None:
    """Print a line of progress, whole, even while another step prints."""
    print(f"{name:<11} {sentence}\n", end="", flush=True)


def contents(part: Input) -> Iterator[tuple[str, bytes]]:
    """Yield the name and bytes of everything that an input stands for."""
    if isinstance(part, str):
        yield "", part.encode()
    elif part.is_dir():
        for path in sorted(path for path in part.rglob("*") if path.is_file()):
            yield str(path.relative_to(part)), path.read_bytes()
    else:
        yield part.name, part.read_bytes()
