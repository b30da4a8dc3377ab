"""A large repository, and git's own server that counts who asks."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from uuid import uuid4

from msgspec import Struct

from service.engine import SandboxSpec
from service.git_server import git_server
from service.repo_url import parse_allow, parse_repo_url
from tests.git_repositories import GitRepositories

FILES = 5_000

_WORDS = [f"word{number}" for number in range(500)]
_LIMIT_S = 120.0


class Asked(Struct, frozen=True):
    """What a server was asked for."""

    connections: int
    """Of upload-pack, which serves those who fetch."""
    clones: int
    """Those of them that had nothing yet."""

    def since(self, before: "Asked") -> "Asked":
        return Asked(self.connections - before.connections, self.clones - before.clones)


class Repositories:
    """`large` has `FILES` files, 11 MB in 100 folders, `small` has one; `folder` is where work can be done."""

    def __init__(self, folder: Path, served: GitRepositories, trace: Path) -> None:
        self.folder = folder
        self._trace = trace
        random = Random(1)
        texts = {f"source/{number % 10}/{number % 100}/{number}.py": _text(random) for number in range(FILES)}
        self.large = served.make("large", texts)
        self.bare = folder / "large.git"
        """A clone of that, without a tree."""
        served.git(".", "clone", "--quiet", "--bare", "large", str(self.bare))
        self.small = served.make("small")

    def asked(self) -> Asked:
        """So far."""
        fetches = self._trace.read_text(errors="replace").split("upload-pack< command=fetch")
        connections = sum(part.count("git< git-upload-pack ") for part in fetches)
        return Asked(connections, sum("upload-pack< have " not in part for part in fetches[1:]))


@contextmanager
def repositories(folder: Path) -> Generator[Repositories]:
    served, trace = folder / "served", folder / "trace"
    served.mkdir()
    trace.touch()
    with git_server(served, trace=trace) as url:
        yield Repositories(folder, GitRepositories(served, url), trace)


def spec(url: str) -> SandboxSpec:
    return SandboxSpec(
        run_id=uuid4(),
        repo_url=parse_repo_url(url, parse_allow(url)),
        ref="",
        setup=[],
        image="",
        clone_timeout_s=_LIMIT_S,
        setup_timeout_s=_LIMIT_S,
    )


def _text(random: Random) -> str:
    return "".join(f"{' '.join(random.choices(_WORDS, k=6))}\n" for _ in range(random.randint(5, 100)))
