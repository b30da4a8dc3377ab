"""Servers that fail, lead elsewhere or never end: a code each, within bounded time, and nobody else is asked."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from service.errors import PrepareError
from service.repo_url import RepoUrl
from tests import git_over_http
from tests.git_over_http import Request, http_server, repositories, silent_server, with_status
from tests.git_repositories import GitRepositories
from tests.service.local_cache import LIMIT_S, Cache, make_cache

DEFINITE_S = 10.0
NOBODY = "3000::1"
"""Global, as far as anyone knows, and given to nobody."""


@pytest.fixture
async def cache(tmp_path: Path) -> Cache:
    return await make_cache(tmp_path / "home")


@pytest.fixture
def git(tmp_path: Path) -> GitRepositories:
    return GitRepositories(tmp_path / "git", "")


async def failed(cache: Cache, url: str | RepoUrl, *, limit_s: float = DEFINITE_S, ref: str = "") -> PrepareError:
    with pytest.raises(PrepareError) as caught:
        await cache.repository(url).fetch(ref, limit_s=limit_s)
    assert cache.left() == []
    return caught.value


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "clone.auth"), (403, "clone.auth"), (404, "clone.not_found"), (500, "clone.failed")],
)
async def test_a_status_has_its_code_and_nobody_is_asked_for_a_password(cache: Cache, status: int, code: str):
    with http_server(with_status(status, www_authenticate='Basic realm="x"')) as served:
        error = await failed(cache, f"{served.url}/repo")
    assert error.code == code
    assert served.url not in str(error)


async def test_what_stands_in_a_url_is_not_taken_for_the_cause(cache: Cache):
    with http_server(with_status(404)) as served:
        error = await failed(cache, f"{served.url}/ssl-certificate-timeout-401")
    assert error.code == "clone.not_found"


async def test_a_name_that_nobody_has_and_a_port_where_nobody_is(cache: Cache):
    assert (await failed(cache, "https://nothing.invalid/repo")).code == "clone.dns"
    assert (await failed(cache, "https://127.0.0.1:1/repo")).code == "clone.refused"
    assert (await failed(cache, "git://127.0.0.1:1/repo")).code == "clone.refused"


async def test_a_repository_without_a_commit_and_one_without_the_branch(
    cache: Cache, git: GitRepositories, tmp_path: Path
):
    git.make("empty", {})
    git.make("repo")
    with http_server(repositories(tmp_path / "git")) as served:
        assert (await failed(cache, f"{served.url}/empty")).code == "clone.empty"
        assert (await failed(cache, f"{served.url}/repo", ref="nothing")).code == "clone.ref"
        assert (await failed(cache, f"{served.url}/nothing")).code == "clone.not_found"


async def test_a_certificate_that_nobody_signed_is_refused_unless_the_operator_trusts_it(
    cache: Cache, git: GitRepositories, tmp_path: Path
):
    git.make("repo")
    commit = git.git("repo", "rev-parse", "HEAD").decode().strip()
    certificate = git_over_http.make_certificate(tmp_path / "certificate.pem")
    with http_server(repositories(tmp_path / "git"), certificate=certificate) as served:
        assert (await failed(cache, f"{served.url}/repo")).code == "clone.tls"
        assert served.asked == []
        for name in ("GIT_SSL_CAINFO", "SSL_CERT_FILE"):
            trusting = cache.repository(f"{served.url}/repo", environ={name: str(certificate)})
            assert await trusting.fetch("", limit_s=LIMIT_S) == commit


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_said_to_be_one(
    cache: Cache, git: GitRepositories, tmp_path: Path, status: int
):
    git.make("repo")
    with http_server(repositories(tmp_path / "git")) as inner:
        to = f"{inner.url}/repo/info/refs?service=git-upload-pack"
        with http_server(with_status(status, location=to)) as served:
            error = await failed(cache, f"{served.url}/repo")
        assert inner.asked == []
    assert error.code == "clone.redirect"
    assert ".git" in str(error)


async def test_a_redirect_after_the_first_answer_is_not_followed(cache: Cache, git: GitRepositories, tmp_path: Path):
    git.make("repo")
    serve = repositories(tmp_path / "git")
    with http_server(serve) as inner:

        def answer(request: Request) -> None:
            if request.command == "POST":
                request.reply(307, {"location": f"{inner.url}{request.path}"})
            else:
                serve(request)

        with http_server(answer) as served:
            assert (await failed(cache, f"{served.url}/repo")).code == "clone.redirect"
        assert inner.asked == []


async def test_a_plain_file_server_cannot_name_another_for_its_objects(
    cache: Cache, git: GitRepositories, tmp_path: Path
):
    git.make("repo")
    commit = git.git("repo", "rev-parse", "HEAD").decode().strip()
    with http_server(repositories(tmp_path / "git")) as inner:
        files = {
            "/repo/info/refs": f"{commit}\trefs/heads/main\n",
            "/repo/HEAD": "ref: refs/heads/main\n",
            "/repo/objects/info/http-alternates": f"{inner.url}/repo/objects\n",
        }

        def answer(request: Request) -> None:
            content = files.get(request.path.partition("?")[0])
            request.reply(404 if content is None else 200, {"content-type": "text/plain"}, (content or "").encode())

        with http_server(answer) as served:
            await failed(cache, f"{served.url}/repo")
        assert inner.asked == []


async def test_a_name_is_resolved_once_and_git_connects_to_what_was_looked_at(
    cache: Cache, git: GitRepositories, tmp_path: Path
):
    """By its own lookup git would come to the inner server: the name is one of this machine's."""
    git.make("repo")
    lookups: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:  # noqa: ARG001
        lookups.append(host)
        return [NOBODY if len(lookups) == 1 else "127.0.0.1"]

    with http_server(repositories(tmp_path / "git")) as inner:
        for scheme in ("http", "git"):
            lookups.clear()
            url = RepoUrl(scheme=scheme, host="localhost", port=inner.port, path="/repo")
            with pytest.raises(PrepareError) as caught:
                await cache.repository(url, resolve=resolve).fetch("", limit_s=3.0)
            assert caught.value.code in {"clone.refused", "clone.timeout", "clone.failed"}
            assert lookups == ["localhost"]
        assert inner.connected == []
        trusted = RepoUrl(scheme="http", host="localhost", port=inner.port, path="/repo", trusted=True)
        await cache.repository(trusted, resolve=resolve).fetch("", limit_s=LIMIT_S)
        assert inner.connected != []


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], [NOBODY, "10.0.0.1"], ["169.254.169.254"], ["::ffff:127.0.0.1"], ["fd00::1"], ["100.64.0.1"], []],
    ids=str,
)
async def test_a_name_with_an_inner_address_is_refused_before_anybody_is_asked(cache: Cache, addresses: list[str]):
    async def resolve(host: str, port: int) -> Sequence[str]:  # noqa: ARG001
        return addresses

    with http_server(with_status(200)) as inner:
        url = RepoUrl(scheme="http", host="localhost", port=inner.port, path="/repo")
        with pytest.raises(PrepareError) as caught:
            await cache.repository(url, resolve=resolve).fetch("", limit_s=DEFINITE_S)
        assert inner.asked == []
    assert caught.value.code == "clone.address"


async def test_an_inner_address_without_a_name_is_refused(cache: Cache):
    with http_server(with_status(200)) as inner:
        url = RepoUrl(scheme="http", host="127.0.0.1", port=inner.port, path="/repo")
        assert (await failed(cache, url)).code == "clone.address"
        assert inner.asked == []


@pytest.mark.parametrize("scheme", ["http", "https", "git"])
async def test_a_server_that_says_nothing_is_left_at_the_deadline(cache: Cache, scheme: str):
    with silent_server() as port:
        began = time.monotonic()
        error = await failed(cache, f"{scheme}://127.0.0.1:{port}/repo", limit_s=2.0)
        assert error.code == "clone.timeout"
        assert time.monotonic() - began < DEFINITE_S


async def test_a_server_that_trickles_is_left_when_too_little_came(cache: Cache):
    with http_server(git_over_http.trickling) as served, pytest.raises(PrepareError) as caught:
        await cache.repository(f"{served.url}/repo", quiet_s=2).fetch("", limit_s=LIMIT_S)
    assert caught.value.code == "clone.timeout"
    assert "too slow" in str(caught.value)


async def test_a_server_that_breaks_off_or_talks_nonsense_leaves_nothing(
    cache: Cache, git: GitRepositories, tmp_path: Path
):
    git.make("repo", {"large.bin": bytes(range(256)) * 4000})
    commit = git.git("repo", "rev-parse", "HEAD").decode().strip()
    serve = repositories(tmp_path / "git")
    broken: list[str] = []

    def answer(request: Request) -> None:
        if request.command == "POST" and len(broken) < 2:
            broken.append(request.path)
            request.send_response(200)
            request.send_header("content-type", "application/x-git-upload-pack-result")
            request.end_headers()
            request.wfile.write(b"000dpackfile\n0009\x01PACK" if len(broken) == 2 else b"nonsense")
        else:
            serve(request)

    with http_server(answer) as served:
        for _ in range(2):
            assert (await failed(cache, f"{served.url}/repo")).code.startswith("clone.")
        assert await cache.repository(f"{served.url}/repo").fetch("", limit_s=LIMIT_S) == commit


async def test_an_advertisement_that_never_ends_is_left_at_the_deadline(cache: Cache):
    """Each line of it is well formed."""

    def answer(request: Request) -> None:
        request.send_response(200)
        request.send_header("content-type", git_over_http.ADVERTISEMENT)
        request.end_headers()
        line = f"{'1' * 40} refs/heads/{'x' * 200}-%09d\n"
        request.wfile.write(b"001e# service=git-upload-pack\n0000")
        try:
            for number in range(10**9):
                content = (line % number).encode()
                request.wfile.write(b"%04x" % (len(content) + 4) + content)
        except OSError:
            return

    with http_server(answer) as served:
        assert (await failed(cache, f"{served.url}/repo", limit_s=2.0)).code in {"clone.timeout", "clone.too_large"}
