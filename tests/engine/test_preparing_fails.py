"""A run whose repository, image or setup is no good ends soon, and says why."""

from typing import Any

import anyio
import httpx2

from service.engine.dagger.engine import DaggerEngine
from tests.git_repositories import GitRepositories
from tests.service.api import frames, post_run, service, start_run, until


async def failed(http: httpx2.AsyncClient, url: str, **fields: Any) -> dict[str, Any]:
    with anyio.fail_after(10):
        run = await until(http, await start_run(http, url, "true", variations=2, **fields), "failed")
    assert [each["state"] for each in run["variations"]] == ["cancelled"] * 2
    assert run["detail"]
    return run


async def test_a_clone_that_fails_ends_the_run_with_its_code_within_ten_seconds(
    http: httpx2.AsyncClient, git: GitRepositories, silent_url: str
):
    url, empty = git.make("repo"), git.make("empty", {})
    assert (await failed(http, f"{git.url}/nothing"))["code"] == "clone.not_found"
    assert (await failed(http, url, ref="nothing"))["code"] == "clone.ref"
    assert (await failed(http, empty))["code"] == "clone.empty"
    assert (await failed(http, f"{silent_url}/repo"))["code"] == "clone.refused"


async def test_an_image_that_does_not_exist_ends_the_run(http: httpx2.AsyncClient, git: GitRepositories):
    run = await failed(http, git.make("repo"), image="aideator-has-no-such-image:1")
    assert run["code"] == "image.not_found"


async def test_a_setup_that_fails_ends_the_run_with_its_output_in_the_log(
    http: httpx2.AsyncClient, git: GitRepositories
):
    run = await failed(http, git.make("repo"), setup=["echo got this far", "echo went wrong >&2; exit 4", "echo never"])
    assert run["code"] == "setup.failed"
    log = await frames(http, run["status_url"])
    printed = [frame.data["content"] for frame in log if frame.name == "run_output"]
    assert "got this far\n" in printed
    assert "went wrong\n" in printed
    assert "never\n" not in printed
    assert log[-1].event["code"] == "setup.failed"


async def test_where_no_engine_answers_a_run_is_refused_and_nothing_is_half_made(
    git: GitRepositories, settings: Any, database_url: str, dagger_environ: dict[str, str], tmp_path: Any
):
    dead = {**dagger_environ, "_EXPERIMENTAL_DAGGER_RUNNER_HOST": f"unix://{tmp_path}/nobody.sock"}
    async with service(settings, database_url, DaggerEngine(dead)) as http:
        response = await post_run(http, git.make("repo"), "true")
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert response.headers["content-type"].startswith("application/problem+json")
        assert response.json()["code"] == "engine.unavailable"
        assert (await http.get("/api/v1/runs")).json()["runs"] == []
        assert (await http.get("/health")).status_code == 503
