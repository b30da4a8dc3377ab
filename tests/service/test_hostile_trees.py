"""Repositories whose content is meant to fill, to escape, to fetch more or to run something."""

import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from service.errors import PrepareError
from tests.disks import or_skip, plain_disk
from tests.git_over_http import http_server, with_status
from tests.git_repositories import GitRepositories
from tests.service.git_objects import Objects
from tests.service.local_cache import LIMIT_S, Cache, make_cache

_MB = 1 << 20
MANY = 100_000


@pytest.fixture
async def cache(tmp_path: Path) -> Cache:
    return await make_cache(tmp_path / "home")


@pytest.fixture
def objects(git: GitRepositories) -> Objects:
    return Objects(git)


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A file system of 16 MB."""
    with or_skip(plain_disk(tmp_path / "small", 16)) as disk:
        yield disk


def import_many(folder: Path) -> None:
    """Add a commit of many files to the repository in `folder`."""
    head = "commit refs/heads/main\ncommitter a <a@b> 0 +0000\ndata 1\nx\nM 100644 inline README.md\ndata 2\ny\n\n"
    entries = "".join(f"M 100644 :1 d{number % 400}/f{number}\n" for number in range(MANY))
    stream = f"blob\nmark :1\ndata 2\nx\n\n{head}{entries}\n".encode()
    line = ["git", "fast-import", "--quiet", "--force"]
    subprocess.run(line, cwd=folder, input=stream, check=True, capture_output=True)


async def failed(cache: Cache, url: str, *, disk_bytes: int = 1 << 30, memory_bytes: int = 2 << 30) -> str:
    """The code; nothing is left of it."""
    repository = cache.repository(url, disk_bytes=disk_bytes, memory_bytes=memory_bytes)
    folder = cache.host.make(cache.home / "tree")
    with pytest.raises(PrepareError) as caught:
        await repository.check_out(await repository.fetch("", limit_s=LIMIT_S), folder, limit_s=LIMIT_S)
    assert cache.left() == []
    assert list(folder.iterdir()) == []
    folder.rmdir()
    return caught.value.code


# What is too much


async def test_a_pack_larger_than_it_may_be_is_given_up(cache: Cache, git: GitRepositories):
    url = git.make("repo", {"random": os.urandom(4 * _MB)})
    assert await failed(cache, url, disk_bytes=_MB) == "clone.too_large"
    assert not any(path.suffix == ".pack" for path in cache.home.rglob("*"))


async def test_a_file_that_unfolds_beyond_what_it_may_be_is_given_up(cache: Cache, git: GitRepositories):
    url = git.make("repo", {"large": b"x" * (64 * _MB)})
    assert await failed(cache, url, disk_bytes=8 * _MB) == "clone.too_large"


async def test_many_files_that_unfold_beyond_what_they_may_take_are_given_up(cache: Cache, git: GitRepositories):
    content = b"x" * (4 * _MB)
    url = git.make("repo", {str(number): content for number in range(10)})
    assert await failed(cache, url, disk_bytes=8 * _MB) == "clone.too_large"


async def test_a_small_tree_of_a_thousand_million_files_is_given_up(cache: Cache, objects: Objects):
    tree = objects.blob
    for level in range(9):
        mode = "40000" if level else "100644"
        tree = objects.tree(*((mode, str(number), tree) for number in range(10)))
    assert await failed(cache, objects.publish(tree), memory_bytes=256 * _MB) == "clone.too_large"


async def test_a_clone_and_a_checkout_that_fill_the_disk_say_so_and_leave_it_as_it_was(
    small_disk: Path, git: GitRepositories
):
    cache = await make_cache(small_disk / "home")
    good = git.make("good")
    await cache.tree(good)
    free = os.statvfs(small_disk).f_bfree
    pack = git.make("pack", {str(number): os.urandom(4 * _MB) for number in range(5)})
    assert await failed(cache, pack) == "clone.disk_full"
    assert abs(os.statvfs(small_disk).f_bfree - free) < 100
    tree = git.make("tree", {str(number): b"x" * (4 * _MB) for number in range(5)})
    assert await failed(cache, tree) == "clone.disk_full"
    await cache.tree(good)


async def test_a_hundred_thousand_files_are_checked_out(cache: Cache, git: GitRepositories):
    url = git.make("repo", {"README.md": "x"})
    import_many(Path(git.git("repo", "rev-parse", "--absolute-git-dir").decode().strip()))
    tree = await cache.tree(url)
    assert sum(len(files) for folder, _, files in os.walk(tree) if ".git" not in folder) == MANY + 1


# What has odd names, or leads out


async def test_any_name_that_a_file_can_have_is_checked_out(cache: Cache, git: GitRepositories):
    names = [
        "n" * 255,
        "é" * 127,
        'new\nline and "quote"',
        "back\\slash",
        "-rf",
        " ",
        "a\tb",
        "$(touch owned)",
        "\x7f",
        ":x",
    ]
    deep = "/".join(["d" * 200] * 15) + "/file"
    url = git.make("repo", {name: name for name in [*names, deep]})
    tree = await cache.tree(url)
    assert sorted(path.name for path in tree.iterdir()) == sorted([".git", "d" * 200, *names])
    assert (tree / names[0]).read_text() == names[0]
    assert (tree / deep).read_text() == deep


async def test_names_that_are_not_utf_8_are_checked_out(cache: Cache, objects: Objects):
    name = os.fsdecode(b"no\xff\xfeutf-8")
    tree = await cache.tree(objects.publish(objects.tree(("100644", name, objects.blob))))
    assert (tree / name).is_file()


async def test_a_link_out_of_the_tree_stays_a_link_and_leads_to_nothing_of_ours(
    cache: Cache, objects: Objects, tmp_path: Path
):
    secret = tmp_path / "secret"
    secret.write_text("of this machine")
    links = {"absolute": str(secret), "relative": "../" * 20 + str(secret)[1:], "etc": "/etc/shadow", "self": "self"}
    entries = [("120000", name, objects.link(to)) for name, to in sorted(links.items())]
    tree = await cache.tree(objects.publish(objects.tree(*entries)))
    assert {name: str((tree / name).readlink()) for name in links} == links
    done = await cache.run(tree, "cat absolute relative etc self || true; git status --porcelain")
    assert done.stdout == b""


@pytest.mark.parametrize(
    "case",
    ["a folder that is a link too", ".git", ".GIT", "..", "a/b", ".gitmodules that is a link", "no order"],
)
async def test_a_tree_that_no_git_would_write_is_refused(cache: Cache, objects: Objects, case: str):
    folder = objects.tree(("100755", "post-checkout", objects.blob))
    blob = objects.blob
    trees = {
        "a folder that is a link too": [("120000", "a", objects.link("/tmp")), ("40000", "a", folder)],
        ".git": [("40000", ".git", folder)],
        ".GIT": [("40000", ".GIT", folder)],
        "..": [("40000", "..", folder)],
        "a/b": [("100644", "a/b", blob)],
        ".gitmodules that is a link": [("120000", ".gitmodules", objects.link("x"))],
        "no order": [("100644", "b", blob), ("100644", "a", blob)],
    }
    assert await failed(cache, objects.publish(objects.tree(*trees[case]))) == "clone.unsafe"


async def test_old_carelessness_that_harms_nobody_is_no_reason_to_refuse(cache: Cache, objects: Objects):
    folder = objects.tree(("100644", "file", objects.blob))
    tree = objects.tree(("040000", "folder", folder))
    careless = f"tree {tree}\nauthor A<a@b> 1 +051800\ncommitter A <a@b>1 +0000\n\nx\n"
    found = await cache.tree(objects.publish_commit(objects.make("commit", careless.encode())))
    assert (found / "folder/file").is_file()


# What would fetch or run something


async def test_a_submodule_is_an_empty_folder_and_nobody_is_asked_for_it(cache: Cache, git: GitRepositories):
    with http_server(with_status(404)) as served:
        module = f'[submodule "x"]\n\tpath = x\n\turl = {served.url}/x\n\tfetchRecurseSubmodules = true\n'
        url = git.make("repo", {".gitmodules": module, "file": "x"})
        git.git("repo", "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},x")
        git.git("repo", "commit", "--quiet", "--message=a submodule")
        tree = await cache.tree(url)
        assert served.asked == []
    assert list((tree / "x").iterdir()) == []
    assert (await cache.run(tree, "git status --porcelain")).stdout == b""


async def test_pointers_of_lfs_are_kept_and_nobody_is_asked_for_what_they_mean(cache: Cache, git: GitRepositories):
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'1' * 64}\nsize 12345\n"
    with http_server(with_status(404)) as served:
        files = {
            ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
            ".lfsconfig": f"[lfs]\n\turl = {served.url}\n",
            "large.bin": pointer,
        }
        tree = await cache.tree(git.make("repo", files))
        assert served.asked == []
    assert (tree / "large.bin").read_text() == pointer
    assert (await cache.run(tree, "git status --porcelain")).stdout == b""


async def test_hooks_and_filters_that_come_with_a_repository_are_files_and_no_more(cache: Cache, git: GitRepositories):
    hook = "#!/bin/sh\ntouch /workspace/owned\n"
    config = (
        '[core]\n\thooksPath = hooks\n\tfsmonitor = hooks/post-checkout\n[filter "x"]\n\tsmudge = hooks/post-checkout\n'
    )
    names = ["hooks/post-checkout", "hooks/post-index-change", ".githooks/post-checkout", ".husky/post-checkout"]
    files = {
        **dict.fromkeys(names, hook),
        ".gitattributes": "* filter=x diff=x ident\n",
        ".gitconfig": config,
        "file": "x",
    }
    url = git.make("repo", {**files, "config": config})
    git.git("repo", "update-index", "--chmod=+x", *names)
    git.git("repo", "commit", "--quiet", "--message=executable")
    tree = await cache.tree(url)
    assert sorted(path.name for path in (tree / ".git").iterdir() if "hook" in path.name) == []
    assert not (tree / "owned").exists()
    assert (tree / "file").read_text() == "x"
    done = await cache.run(tree, "git status --porcelain; git checkout --quiet HEAD -- file; ls owned || true")
    assert done.stdout == b""
