"""What is refused, with which status, code and field; and that nothing of it is stored."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.faulty_engine import FaultyEngine
from tests.git_repositories import GitRepositories
from tests.service.api import RUNS, start_run, until

Client = httpx2.AsyncClient

URL = "https://github.com/a/b"
INVALID = "request.invalid"

REPO_URLS = {
    "repo_url.scheme": [
        "file:///etc/passwd", "/etc", "ext::sh -c id", "--upload-pack=id", "ssh://git@github.com/a/b",
        "git@github.com:a/b.git", "http://github.com/a/b", " https://github.com/a/b",
    ],
    "repo_url.syntax": ["", " "],
    "repo_url.host": ["git://github.com/a/b"],
    "repo_url.credentials": ["https://github.com@evil.test/a/b", "https://user:secret@github.com/a/b"],
    "repo_url.address": [
        "https://127.0.0.1/a/b", "https://0/", "https://0177.1/", "https://0x7f.1/", "https://2130706433/",
        "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[fd00::1]/", "https://[64:ff9b::7f00:1]/",
        "https://localhost:5432/a", "https://169.254.169.254/a",
    ],
    "repo_url.port": ["https://github.com:22/a/b"],
    "repo_url.chars": [
        "https://github.com/a/b\n--config=x", "https://github.com/a\0b", "https://github.com/a\rb",
        "https://github.com/a\u202eb",
    ],
    "repo_url.path": ["https://github.com/../../x", "https://github.com/a/%2e%2e/%2e%2e/x", "https://github.com/"],
}  # fmt: skip

FIELDS: list[tuple[str, str, list[Any]]] = [
    ("variations", INVALID, [0, -1, 6, 10**9, 10**30, 1.5, 1e9, "3", True, None, [], {}]),
    ("prompt", INVALID, ["", " ", "\n\t", "a\0b", "x" * 100_001, "é" * 99_999, None, 3, ["x"]]),
    (
        "ref",
        "ref.syntax",
        ["-x", "a..b", "refs/heads/..", "@{-1}", "a b", "a\0b", "a\nb", "é" * 200, "--upload-pack=x"],
    ),
    ("ref", INVALID, ["x" * 300, None, 1]),
    ("image", "image.syntax", ["--privileged", "x:latest@sha256:short", "../x", "", "a b", "a\0", "UPPER"]),
    ("image", INVALID, ["x" * 301, None, 1]),
    ("timeout_s", INVALID, [0, -1, 86_401, 1e30, "3", True, None]),
    ("agent", INVALID, ["claude", "", None, 1]),
    ("model", INVALID, ["", "x" * 201, None, 1]),
    ("model", "model.unknown", ["gpt", "scripted ", "Scripted"]),
    ("command", INVALID, ["only for the agent `command`", None, 1, "x" * 100_001]),
    ("setup", INVALID, ["make", None, ["x"] * 51, ["€" * 10_000] * 50]),
    ("use_claude_code", INVALID, ["yes", 1, None]),
    ("model", "llm.no_key", ["gpt-4", "claude-opus-5", "openai/any"]),
    ("temperature", INVALID, [-0.1, 2.1, "1", True, None]),
    ("agents", INVALID, ["builtin", {}, [], None, [{"count": 6}], [{}] * 6]),
    ("budget", INVALID, [5, None, {}, {"reserve": 0.5}]),
    ("mcp_servers", INVALID, [[], None, {"a b": {"serve": "git"}}, {f"s{n}": {"serve": "git"} for n in range(21)}]),
    ("is_admin", INVALID, [True]),
    ("github_url", INVALID, [URL, 1, None]),
]


@pytest.fixture(autouse=True)
async def nothing_is_stored(client: Client):
    yield
    assert (await client.get(RUNS)).json() == {"runs": [], "next": None}


def check(response: httpx2.Response, status: int, code: str, what: object) -> dict[str, Any]:
    """The body of a problem; what it says is for people, and never holds what it must not."""
    assert response.status_code == status, (what, response.text)
    assert response.headers["content-type"] == "application/problem+json", what
    problem = response.json()
    assert (problem["status"], problem["code"]) == (status, code), (what, problem)
    assert problem["detail"], what
    assert "Traceback" not in response.text
    return problem


async def refused(client: Client, body: object, code: str, field: str) -> None:
    problem = check(await client.post(RUNS, json=body), 422, code, body)
    assert problem["field"] == field, (str(body)[:300], problem)


async def test_a_repository_that_may_not_be_fetched_is_refused_by_its_rule(client: Client):
    for code, urls in REPO_URLS.items():
        for url in urls:
            await refused(client, {"repo_url": url, "prompt": "x"}, code, "repo_url")
            await refused(client, {"github_url": url, "prompt": "x"}, code, "github_url")


async def test_credentials_are_not_repeated(client: Client):
    response = await client.post(RUNS, json={"repo_url": "https://user:secret@github.com/a/b", "prompt": "x"})
    assert "secret" not in response.text


async def test_a_repository_is_required_once(client: Client):
    await refused(client, {"prompt": "x"}, INVALID, "repo_url")
    values: list[Any] = [None, 123, [], "https://github.com/" + "a" * 2_000]
    for value in values:
        await refused(client, {"repo_url": value, "prompt": "x"}, INVALID, "repo_url")
    await refused(client, {"repo_url": URL, "github_url": URL, "prompt": "x"}, INVALID, "github_url")


async def test_a_prompt_is_required(client: Client):
    await refused(client, {"repo_url": URL}, INVALID, "prompt")


async def test_a_value_is_refused_by_its_field(client: Client, git: GitRepositories):
    url = git.make("repo")
    for field, code, values in FIELDS:
        for value in values:
            await refused(client, {"repo_url": url, "prompt": "x", field: value}, code, field)


async def test_a_value_inside_a_list_or_an_object_is_named_by_its_path(client: Client, git: GitRepositories):
    body = {"repo_url": git.make("repo"), "prompt": "x"}
    for setup in (["fine", ""], ["fine", 3], ["fine", "x" * 10_001], ["fine", "a\0b"], ["fine", "  "]):
        await refused(client, body | {"setup": setup}, INVALID, "setup[1]")
    for config, field in [({"temperature": 3}, "temperature"), ({"model": ""}, "model"), ({"top_p": 1}, "top_p")]:
        await refused(client, body | {"agent_config": config}, INVALID, f"agent_config.{field}")
    await refused(client, body | {"agent_config": {"model": "gpt"}}, "model.unknown", "agent_config.model")
    await refused(client, body | {"use_claude_code": True}, "llm.no_key", "model")
    for agent, code, name in [
        ({"count": 0}, INVALID, "count"), ({"top_p": 1}, INVALID, "top_p"), ({"agent": "x"}, INVALID, "agent"),
        ({"prompt_suffix": "x" * 10_001}, INVALID, "prompt_suffix"), ({"model": "gpt-4"}, "llm.no_key", "model"),
        ({"agent": "codex", "temperature": 1}, INVALID, "temperature"),
    ]:  # fmt: skip
        await refused(client, body | {"agents": [{}, agent]}, code, f"agents[1].{name}")
    for budget, name in [
        ({"usd": 0}, "usd"), ({"usd": 1e7}, "usd"), ({"tokens": 0}, "tokens"), ({"tokens": 1.5}, "tokens"),
        ({"calls": 10**30}, "calls"), ({"usd": 1, "reserve": 0.91}, "reserve"), ({"cents": 1}, "cents"),
    ]:  # fmt: skip
        await refused(client, body | {"budget": budget}, INVALID, f"budget.{name}")
    for server, name in [({"serve": "web"}, "x.serve"), ({"command": "ls"}, "x.command"), ({"port": 1}, "x")]:
        await refused(client, body | {"mcp_servers": {"x": server}}, INVALID, f"mcp_servers.{name}")
    await refused(client, body | {"mcp_servers": {"x": {"url": "x"}}}, INVALID, "mcp_servers.x.url")
    for command in ("", "  ", "a\0b", "é" * 99_999):
        await refused(client, body | {"agent": "command", "command": command}, INVALID, "command")


async def test_what_is_no_json_is_malformed(client: Client):
    headers = {"Content-Type": "application/json"}
    for body in (
        b"", b"{", b"not json", b'{"prompt": NaN}', b'{"prompt": "\xff"}', rb'{"prompt": "\ud800"}', b"x{}",
        b'{"prompt": "\n"}',
    ):  # fmt: skip
        check(await client.post(RUNS, content=body, headers=headers), 400, "request.malformed", body)
    for deep in (b"[" * 100_000, b'{"prompt":' * 10_000):
        check(await client.post(RUNS, content=deep, headers=headers), 422, INVALID, deep[:20])


async def test_a_body_that_is_no_object_is_refused(client: Client):
    for body in (b"[]", b'"x"', b"3", b"null"):
        response = await client.post(RUNS, content=body, headers={"Content-Type": "application/json"})
        assert check(response, 422, INVALID, body)["field"] == "body"


async def test_the_last_of_two_equal_names_counts_and_is_checked(client: Client):
    body = b'{"repo_url": "%s", "prompt": "x", "variations": 1, "variations": 999}' % URL.encode()
    response = await client.post(RUNS, content=body, headers={"Content-Type": "application/json"})
    assert check(response, 422, INVALID, body)["field"] == "variations"


async def test_a_body_of_another_media_type_is_refused(client: Client):
    body = b'{"repo_url": "https://github.com/a/b", "prompt": "x"}'
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        headers = {"Content-Type": media_type} if media_type else {}
        check(await client.post(RUNS, content=body, headers=headers), 415, "body.media_type", media_type)


async def test_a_body_of_11_mb_is_refused(client: Client):
    body = b'{"prompt": "%s"}' % (b"x" * (11 << 20))
    headers = {"Content-Type": "application/json"}
    check(await client.post(RUNS, content=body, headers=headers), 413, "body.too_large", "with its length")

    async def pieces():
        for start in range(0, len(body), 1 << 16):
            yield body[start : start + (1 << 16)]

    check(await client.post(RUNS, content=pieces(), headers=headers), 413, "body.too_large", "in chunks")


async def test_a_run_that_there_is_not_is_not_found_on_any_route(client: Client):
    run = f"{RUNS}/{uuid4()}"
    for method, path in [
        ("GET", run), ("GET", f"{run}/status"), ("GET", f"{run}/stream"), ("GET", f"{run}/stream/redis"),
        ("GET", f"{run}/variations/0/patch"), ("DELETE", run),
    ]:  # fmt: skip
        check(await client.request(method, path), 404, "run.not_found", (method, path))
    check(await client.post(f"{run}/select", json={"variation_id": 0}), 404, "run.not_found", "select")


async def test_what_cannot_be_a_run_is_not_found(client: Client):
    for name in ("1", "x", "..%2f", "00000000-0000-0000-0000-00000000000g", "%00", "é", "a" * 5_000):
        for path in ("", "/status", "/stream", "/variations/0/patch"):
            check(await client.get(f"{RUNS}/{name}{path}"), 404, "route.not_found", name)
        check(await client.delete(f"{RUNS}/{name}"), 404, "route.not_found", name)


async def test_a_page_that_cannot_be_is_refused(client: Client):
    for query in ("limit=-1", "limit=0", "limit=101", "limit=1e9", "limit=abc", "limit=", "before=x", "before=1"):
        problem = check(await client.get(f"{RUNS}?{query}"), 422, INVALID, query)
        assert problem["field"] == query.partition("=")[0], query


async def test_another_method_is_not_allowed(client: Client):
    run = f"{RUNS}/{uuid4()}"
    for method, path in [("PUT", RUNS), ("DELETE", RUNS), ("POST", run), ("POST", f"{run}/stream"), ("TRACE", RUNS)]:
        check(await client.request(method, path), 405, "method.not_allowed", (method, path))


async def test_with_the_engine_down_a_run_is_refused_for_now(
    client: Client, git: GitRepositories, engine: FaultyEngine
):
    engine.down = True
    response = await client.post(RUNS, json={"repo_url": git.make("repo"), "prompt": "x"})
    check(response, 503, "engine.unavailable", "down")
    assert int(response.headers["retry-after"]) > 0


class TestOfARunThatThereIs:
    @pytest.fixture(autouse=True)
    def nothing_is_stored(self) -> None:
        """One run is."""

    @pytest.fixture
    async def run(self, client: Client, git: GitRepositories) -> str:
        run = await start_run(client, git.make("repo"), "true")
        await until(client, run)
        return run

    async def test_a_variation_that_there_is_not_is_not_found(self, client: Client, run: str):
        for index in ("1", "-1", "2147483648", "9" * 30):
            check(await client.get(f"{run}/variations/{index}/patch"), 404, "variation.not_found", index)
        check(await client.get(f"{run}/variations/x/patch"), 404, "route.not_found", "x")

    async def test_a_choice_that_is_none_is_refused(self, client: Client, run: str):
        bodies: list[tuple[Any, str]] = [({}, "variation_id"), ({"variation_id": 0, "x": 1}, "x"), ([], "body")]
        for body, field in bodies:
            response = await client.post(f"{run}/select", json=body)
            assert check(response, 422, INVALID, body)["field"] == field

    async def test_a_cursor_that_names_no_run_is_an_empty_page(self, client: Client, run: str):
        assert (await client.get(RUNS)).json()["runs"][0]["status_url"] == run
        assert (await client.get(RUNS, params={"before": str(uuid4())})).json() == {"runs": [], "next": None}
