"""A repository is fetched once for all who want it, and its cache is whole whatever happens to them."""

import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import anyio
import pytest

from service.engine.local.lock import locked
from service.errors import PrepareError
from service.git_server import git_server
from tests.conftest import ROOT
from tests.git_over_http import http_server
from tests.git_repositories import GitRepositories
from tests.service.gated_git import Gate
from tests.service.local_cache import LIMIT_S, Cache, make_cache


@pytest.fixture
async def cache(tmp_path: Path) -> Cache:
    return await make_cache(tmp_path / "home")


@pytest.fixture
def gate(tmp_path: Path) -> Generator[Gate]:
    gate = Gate(tmp_path / "git")
    with http_server(gate) as served:
        gate.served = served
        yield gate
        gate.open.set()


@pytest.fixture
def git(tmp_path: Path, gate: Gate) -> GitRepositories:
    return GitRepositories(tmp_path / "git", gate.served.url)


def fetching(cache: Cache, url: str) -> subprocess.Popen[str]:
    """Another process that fetches."""
    line = [sys.executable, "-m", "tests.service.local_cache", str(cache.home), url]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True)


async def fetched(cache: Cache, url: str, commits: list[str]) -> None:
    commits.append(await cache.repository(url).fetch("", limit_s=LIMIT_S))


async def test_a_ref_is_a_branch_a_tag_a_commit_or_nothing(cache: Cache, git: GitRepositories, gate: Gate):
    gate.open.set()
    url = git.make("repo")
    first = git.git("repo", "rev-parse", "HEAD").decode().strip()
    git.git("repo", "tag", "--annotate", "--message=A tag", "v1")
    git.git("repo", "tag", "--annotate", "--message=A tag of a tag", "v1.0", "v1")
    git.git("repo", "branch", "feature/x")
    second = git.commit("repo", {"more.txt": "more"})
    third = git.commit("repo", {"most.txt": "most"})
    git.git("repo", "update-ref", "refs/pull/1/head", second)
    asked = {"": third, "HEAD": third, "main": third, "refs/heads/main": third, second: second, "feature/x": first}
    asked |= {"v1": first, "v1.0": first, "refs/pull/1/head": second, first: first}
    for ref, commit in asked.items():
        assert await cache.repository(url).fetch(ref, limit_s=LIMIT_S) == commit, ref
    for commit, files in {first: 2, second: 3, third: 4}.items():
        tree = await cache.check_out(cache.repository(url), commit)
        assert sum(path.is_file() for path in tree.rglob("*") if ".git" not in path.parts) == files
    assert cache.left() == []


@pytest.mark.parametrize("ref", ["nothing", "0123456789" * 4, "a tree", "--upload-pack=touch owned", "a:b"])
async def test_a_ref_that_is_no_commit_is_said_to_be_none(cache: Cache, git: GitRepositories, gate: Gate, ref: str):
    gate.open.set()
    url = git.make("repo")
    tree = git.git("repo", "rev-parse", "HEAD^{tree}").decode().strip()
    with pytest.raises(PrepareError) as caught:
        await cache.repository(url).fetch(tree if ref == "a tree" else ref, limit_s=LIMIT_S)
    assert caught.value.code == "clone.ref", caught.value
    assert cache.left() == []


async def test_a_fetch_is_one_connection_cold_warm_and_for_many_at_once(
    cache: Cache, git: GitRepositories, tmp_path: Path
):
    git.make("repo")
    trace = tmp_path / "trace"

    def connections() -> int:
        asked = trace.read_text().count("git< git-upload-pack /repo")
        trace.unlink()
        return asked

    with git_server(tmp_path / "git", trace=trace) as url:
        for _ in ("cold", "warm"):
            await fetched(cache, f"{url}/repo", [])
            assert connections() == 1
        commit = git.commit("repo", {"more.txt": "more"})
        commits: list[str] = []
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(fetched, cache, f"{url}/repo", commits)
        assert commits == [commit] * 20
        assert connections() == 1


async def test_who_waited_for_a_fetch_gets_no_commit_older_than_the_question(
    cache: Cache, git: GitRepositories, gate: Gate
):
    url = git.make("repo")
    old: list[str] = []
    new: list[str] = []
    commit = ""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fetched, cache, url, old)
        await gate.wait_until_asked()
        commit = git.commit("repo", {"more.txt": "more"})
        for _ in range(5):
            tasks.start_soon(fetched, cache, url, new)
        await anyio.wait_all_tasks_blocked()
        gate.open.set()
    assert new == [commit] * 5
    assert gate.connections == 2


async def test_processes_wait_for_each_other_and_share_what_comes(cache: Cache, git: GitRepositories, gate: Gate):
    url = git.make("repo")
    commit = git.git("repo", "rev-parse", "HEAD").decode().strip()
    with fetching(cache, url) as first:
        await gate.wait_until_asked()
        commits: list[str] = []
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(fetched, cache, url, commits)
            await anyio.wait_all_tasks_blocked()
            gate.open.set()
        assert commits == [commit] * 5
        assert (await anyio.to_thread.run_sync(first.communicate))[0].strip() == commit
    assert gate.connections == 2
    assert cache.left() == []


async def test_a_process_that_is_killed_while_it_fetches_leaves_a_whole_cache(
    cache: Cache, git: GitRepositories, gate: Gate
):
    url = git.make("repo")
    commit = git.git("repo", "rev-parse", "HEAD").decode().strip()
    with fetching(cache, url) as first:
        await gate.wait_until_asked()
        assert cache.left() != []
        first.send_signal(signal.SIGKILL)
        gate.open.set()
    with anyio.fail_after(LIMIT_S):
        assert await cache.repository(url).fetch("", limit_s=LIMIT_S) == commit
    assert cache.left() == []
    tree = await cache.check_out(cache.repository(url), commit)
    done = await cache.run(tree, "git fsck --full --strict; git status --porcelain")
    assert (done.status, done.stdout) == (0, b"")


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
async def test_one_that_fails_does_not_fail_those_who_waited(cache: Cache, git: GitRepositories, gate: Gate, how: str):
    url = git.make("repo")
    commits: list[str] = []
    scope = anyio.CancelScope()
    codes: list[str] = []

    async def lead() -> None:
        with scope:
            try:
                await cache.repository(url).fetch("", limit_s=LIMIT_S)
            except PrepareError as error:
                codes.append(error.code)

    gate.fails = how == "fails"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lead)
        await gate.wait_until_asked()
        for _ in range(5):
            tasks.start_soon(fetched, cache, url, commits)
        await anyio.wait_all_tasks_blocked()
        if how == "is cancelled":
            scope.cancel()
        gate.open.set()
    assert codes == (["clone.failed"] if how == "fails" else [])
    assert commits == [git.git("repo", "rev-parse", "HEAD").decode().strip()] * 5
    assert cache.left() == []


async def test_nobody_gets_for_themselves_what_is_in_use(cache: Cache):
    repository = cache.repository("git://127.0.0.1/repo")
    async with repository.held(), cache.repository("git://127.0.0.1/repo").held():
        with pytest.raises(TimeoutError), anyio.fail_after(0.1):
            async with locked(repository.folder / "lock"):
                pass
    async with locked(repository.folder / "lock"):
        pass


async def test_a_checkout_is_what_git_would_make_and_a_repository_of_its_own(
    cache: Cache, git: GitRepositories, gate: Gate
):
    gate.open.set()
    url = git.make("repo", {"run.sh": "#!/bin/sh\n", "a/b/c.txt": "c\n", "crlf.txt": "a\r\nb\r\n", "nul": b"\0\xff"})
    git.git("repo", "update-index", "--chmod=+x", "run.sh")
    (Path(git.git("repo", "rev-parse", "--show-toplevel").decode().strip()) / "link").symlink_to("a/b/c.txt")
    git.git("repo", "add", "link")
    git.git("repo", "commit", "--quiet", "--message=modes")
    tree = await cache.tree(url)
    assert (tree / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (tree / "a/b/c.txt").stat().st_mode & 0o777 == 0o644
    assert (tree / "link").readlink() == Path("a/b/c.txt")
    assert (tree / "nul").read_bytes() == b"\0\xff"
    done = await cache.run(
        tree,
        "git status --porcelain; git log --format=%s; git branch --show-current; echo more >> run.sh; git add --all;"
        "git -c user.name=a -c user.email=a@b commit --quiet --message=mine; git log --format=%s",
    )
    assert (done.stdout, done.stderr) == (b"modes\nmine\nmodes\n", b"")


async def test_a_checkout_that_fails_leaves_nothing_behind(cache: Cache, git: GitRepositories, gate: Gate):
    gate.open.set()
    url = git.make("repo")
    await cache.tree(url)
    folder = cache.host.make(cache.home / "tree")
    with pytest.raises(PrepareError):
        await cache.repository(url).check_out("0" * 40, folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("broken", ["HEAD", "shallow", "fetched.json", "pack"])
async def test_what_a_power_failure_has_emptied_is_fetched_anew(
    cache: Cache, git: GitRepositories, gate: Gate, broken: str
):
    gate.open.set()
    url = git.make("repo")
    git.commit("repo", {"more.txt": "more"})
    await cache.tree(url)
    repository = cache.repository(url)
    files = list(repository.git.glob("objects/pack/*.pack")) if broken == "pack" else [repository.git / broken]
    for file in [repository.folder / broken] if broken == "fetched.json" else files:
        file.chmod(0o644)
        file.write_bytes(b"")
    commit = git.commit("repo", {"most.txt": "most"})
    assert await repository.fetch("", limit_s=LIMIT_S) == commit
    tree = await cache.check_out(repository, commit)
    done = await cache.run(tree, "git rev-list --objects HEAD > /dev/null && git status --porcelain")
    assert (done.status, done.stdout) == (0, b"")
    assert cache.left() == []
