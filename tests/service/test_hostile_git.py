"""URLs, refs and files of git's that are meant to make us run something: git's own answer, and ours before it."""

from pathlib import Path

import pytest

from service.engine.local.confine import run_confined
from service.engine.local.confinement import Confinement
from service.engine.local.engine import LocalEngine, LocalOptions
from service.engine.local.git import Remote, fetch_command, git_environ
from service.git_ref import RefError, check_ref
from service.repo_url import RepoUrlError, parse_allow, parse_repo_url
from tests.contract.sandboxes import by_command, prepared, spec, vary
from tests.git_over_http import http_server, repositories
from tests.git_repositories import GitRepositories
from tests.service.local_cache import LIMIT_S, Cache, make_cache

OWN = "touch /tmp/owned"


@pytest.fixture
async def cache(tmp_path: Path) -> Cache:
    return await make_cache(tmp_path / "home")


async def fetch(cache: Cache, address: str, ref: str = "HEAD") -> tuple[str, str]:
    """Give git what no rule has looked at, beside a repository in /tmp/x; what it says, and what is in /tmp then."""
    remote = Remote(address=address, scheme="https")
    command = fetch_command(remote, f"+{ref}:refs/aideator/new")
    script = 'git init --quiet --bare /tmp/x; cd /tmp/x; if "$@"; then echo fetched; fi; ls /tmp'
    what = Confinement(environ=git_environ(remote), network=True)
    done = await run_confined(cache.host, ["sh", "-c", script, "sh", *command], what, limit_s=LIMIT_S)
    return done.stderr.decode(), done.stdout.decode()


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        (f"--upload-pack={OWN}", "repo_url.scheme", "strange pathname"),
        (f"--upload-pack={OWN};x", "repo_url.scheme", "strange pathname"),
        (f"ext::sh -c {OWN.replace(' ', '% ')}", "repo_url.scheme", "transport 'ext' not allowed"),
        ("file:///tmp/x", "repo_url.scheme", "transport 'file' not allowed"),
        ("/tmp/x", "repo_url.scheme", "transport 'file' not allowed"),
        ("./", "repo_url.scheme", "transport 'file' not allowed"),
        ("git@127.0.0.1:x", "repo_url.scheme", "transport 'ssh' not allowed"),
        (f"ssh://-oProxyCommand={OWN}/x", "repo_url.scheme", "transport 'ssh' not allowed"),
        (f"-oProxyCommand={OWN}:x", "repo_url.scheme", "strange pathname"),
        ("https://127.0.0.1\nx.example/x", "repo_url.chars", "newline"),
        ("https://127.0.0.1/x\nhost=x.example", "repo_url.chars", "newline"),
    ],
)
async def test_a_url_that_runs_or_reads_something_is_refused_by_our_rules_and_by_git(
    cache: Cache, url: str, code: str, said: str
):
    with pytest.raises(RepoUrlError) as refused:
        parse_repo_url(url, parse_allow("https://"))
    assert refused.value.code == code
    stderr, stdout = await fetch(cache, url)
    assert stdout == "x\n", stderr
    assert said in stderr


async def test_http_is_refused_where_https_is_asked_for(cache: Cache, tmp_path: Path):
    with http_server(repositories(tmp_path)) as served:
        with pytest.raises(RepoUrlError) as refused:
            parse_repo_url(f"{served.url}/x", parse_allow("https://"))
        assert refused.value.code == "repo_url.scheme"
        stderr, _ = await fetch(cache, f"{served.url}/x")
        assert "transport 'http' not allowed" in stderr
        assert served.asked == []


@pytest.mark.parametrize("ref", [f"--upload-pack={OWN}", f"--upload-pack={OWN};", "-f", "refs/heads/*"])
async def test_a_ref_that_looks_like_an_option_is_refused_by_our_rules_and_is_none_to_git(
    cache: Cache, git: GitRepositories, ref: str
):
    with pytest.raises(RefError):
        check_ref(ref)
    remote = Remote(address=git.make("repo"), scheme="git")
    command = ["sh", "-c", 'git init --quiet --bare /tmp/x; cd /tmp/x; "$@"; ls /tmp', "sh"]
    what = Confinement(environ=git_environ(remote), network=True)
    done = await run_confined(
        cache.host, [*command, *fetch_command(remote, f"+{ref}:refs/aideator/new")], what, limit_s=LIMIT_S
    )
    assert done.stdout == b"x\n"
    assert done.stderr != b""


@pytest.mark.parametrize("host", ["0177.1", "0x7f.1", "2130706433", "127.1", "[::ffff:127.0.0.1]", "localhost"])
def test_an_inner_address_in_disguise_is_refused(host: str):
    with pytest.raises(RepoUrlError) as refused:
        parse_repo_url(f"https://{host}/x", parse_allow("https://"))
    assert refused.value.code == "repo_url.address"


INNER_CONFIG = r"""
git config core.fsmonitor 'touch "$OWNED"; false'
git config core.hooksPath /workspace/hooks
git config core.sshCommand 'touch "$OWNED"'
git config core.pager 'touch "$OWNED"; cat'
git config core.attributesFile /workspace/all
git config diff.external 'touch "$OWNED"'
git config diff.x.textconv 'touch "$OWNED"; cat'
git config diff.x.command 'touch "$OWNED"'
git config filter.x.clean 'touch "$OWNED"; echo filtered'
git config filter.x.smudge 'touch "$OWNED"; echo filtered'
git config filter.x.process 'touch "$OWNED"'
git config filter.x.required true
git config alias.diff '!touch "$OWNED"'
git config include.path /workspace/more
"""


async def test_what_an_agent_configures_and_attributes_runs_nothing_when_its_patch_is_made(
    git: GitRepositories, tmp_path: Path
):
    """Were any of it run, the patch would show the file."""
    mine = "echo '* diff=x filter=x' > .gitattributes; mkdir hooks; echo changed > README.md; echo new > new"
    hooks = "for hook in post-index-change pre-commit; do printf '#!/bin/sh\\ntouch /tree/owned\\n' > hooks/$hook; done"
    files = f"{mine}; {hooks}; chmod +x hooks/*; echo '* diff=x filter=x' > all"
    url = git.make("repo")
    config = INNER_CONFIG.replace('"$OWNED"', "/tree/owned /workspace/owned owned")
    async with prepared(LocalEngine(LocalOptions(home=tmp_path / "home")), spec(url)) as sandbox:
        assert (await vary(sandbox, 0, by_command(f"set -e; {files}\n{config}"))).exit == 0
        assert await sandbox.patch(0) == git.patch_of(url, files)


@pytest.mark.parametrize(
    "replaced",
    ["rm -rf .git; echo 'gitdir: /workspace/other' > .git; git init --quiet --bare other", "rm -rf .git; ln -s / .git"],
    ids=["another repository", "a link"],
)
async def test_what_an_agent_puts_in_the_place_of_git_s_folder_is_not_read(
    git: GitRepositories, tmp_path: Path, replaced: str
):
    url = git.make("repo")
    async with prepared(LocalEngine(LocalOptions(home=tmp_path / "home")), spec(url)) as sandbox:
        agent = f"echo changed > README.md; {replaced}; rm -rf other/objects; true"
        assert (await vary(sandbox, 0, by_command(agent))).exit == 0
        patch = await sandbox.patch(0)
    assert b"+changed" in patch
    assert b".git\n" not in patch
