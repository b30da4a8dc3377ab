"""The operator's proxy for git is found by the variables that git itself goes by."""

from pathlib import Path

import pytest

from service.errors import PrepareError
from service.repo_url import RepoUrl
from tests.git_over_http import http_server, with_status
from tests.service.local_cache import LIMIT_S, make_cache

URL = RepoUrl(scheme="http", host="nothing.invalid", port=80, path="/repo")
"""A name that nobody has, unless a proxy knows it."""


async def ask(home: Path, variable: str) -> tuple[str, list[str]]:
    """What becomes of a fetch, and what a proxy that this variable names was asked."""
    cache = await make_cache(home)
    with http_server(with_status(404)) as proxy, pytest.raises(PrepareError) as caught:
        await cache.repository(URL, environ={variable: proxy.url}).fetch("", limit_s=LIMIT_S)
    return caught.value.code, proxy.asked


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy", "ALL_PROXY"])
async def test_a_name_that_only_the_proxy_knows_is_for_it_to_judge(tmp_path: Path, variable: str):
    code, asked = await ask(tmp_path, variable)
    assert code == "clone.not_found"
    assert asked[0].startswith(f"{URL}/")


async def test_a_variable_that_git_does_not_read_names_no_proxy(tmp_path: Path):
    assert await ask(tmp_path, "HTTP_PROXY") == ("clone.dns", [])
