"""Which engine a service has, by its settings and by what is there."""

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingUnixStreamServer
from threading import Thread

import httpx2
import pytest
from msgspec import structs

from service.engine.choose import choose_engine
from service.settings import Settings
from tests.git_repositories import GitRepositories
from tests.service.api import RUNS, start_run, until, view

RUNNER_HOST = "_EXPERIMENTAL_DAGGER_RUNNER_HOST"
SETTINGS_FRAME = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
PING = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"


@pytest.fixture
def ours(tmp_path: Path) -> Settings:
    return structs.replace(Settings(), local_home=str(tmp_path / "home"))


@contextmanager
def answering(path: Path, answer: bytes) -> Generator[str]:
    """Listen at a unix socket, and say this to whoever speaks."""

    class Connection(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(100)
            self.request.sendall(answer)
            self.request.recv(100)

    class Server(ThreadingUnixStreamServer):
        daemon_threads = True

    with Server(str(path), Connection) as server:
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield f"unix://{path}"
        finally:
            server.shutdown()
            serving.join()


async def chosen(settings: Settings, folder: Path, **environ: str) -> tuple[str, str]:
    found = await choose_engine(settings, {"PATH": os.environ["PATH"], **environ}, folder)
    return found.engine.capabilities.name, found.reason


async def test_what_is_asked_for_is_taken_though_dagger_may_not_be_there_yet(ours: Settings, tmp_path: Path):
    nowhere = {RUNNER_HOST: f"unix://{tmp_path}/nobody.sock"}
    asked = structs.replace(ours, aideator_engine="dagger")
    found = await choose_engine(asked, nowhere, tmp_path)
    assert (found.engine.capabilities.name, found.reason) == ("dagger", "AIDEATOR_ENGINE is dagger")
    assert not (await found.engine.health()).ok
    asked = structs.replace(ours, aideator_engine="local")
    assert await chosen(asked, tmp_path, **nowhere) == ("local", "AIDEATOR_ENGINE is local")


async def test_a_dagger_engine_that_answers_is_taken(ours: Settings, tmp_path: Path):
    with answering(tmp_path / "engine.sock", SETTINGS_FRAME) as url:
        reason = f"a Dagger engine answers at {url}"
        assert await chosen(ours, tmp_path, **{RUNNER_HOST: url}) == ("dagger", reason)
        (tmp_path / ".engine").mkdir()
        (tmp_path / ".engine" / "env").write_text(f"{RUNNER_HOST}={url}\n")
        assert await chosen(ours, tmp_path) == ("dagger", reason)


async def test_one_that_is_named_and_does_not_answer_is_not(ours: Settings, tmp_path: Path):
    url = f"unix://{tmp_path}/engine.sock"
    reason = f"no Dagger engine answers at {url}"
    assert await chosen(ours, tmp_path, **{RUNNER_HOST: url}) == ("local", reason)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "engine.sock"))
        silent.listen()  # takes connections, and says nothing
        assert await chosen(ours, tmp_path, **{RUNNER_HOST: url}) == ("local", reason)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        assert (await chosen(ours, tmp_path, **{RUNNER_HOST: url}))[0] == "local"
    with answering(tmp_path / "other.sock", PING) as url:
        assert (await chosen(ours, tmp_path, **{RUNNER_HOST: url}))[0] == "local"
    for odd in ("unix://", "tcp://", "tcp://:1", "tcp://[::1", "tcp://a:b"):
        assert (await chosen(ours, tmp_path, **{RUNNER_HOST: odd}))[0] == "local"


async def test_one_in_a_way_that_cannot_be_looked_into_is_taken_at_its_word(ours: Settings, tmp_path: Path):
    named = {RUNNER_HOST: "kube-pod://engine-0?namespace=dagger"}
    assert (await chosen(ours, tmp_path, **named))[0] == "dagger"


async def test_docker_is_taken_where_it_answers_and_can_be_used(ours: Settings, tmp_path: Path):
    programs = tmp_path / "bin"
    programs.mkdir()
    nowhere = f"unix://{tmp_path}/docker.sock"
    with answering(tmp_path / "alive.sock", PING) as url:
        name, reason = await chosen(ours, tmp_path, DOCKER_HOST=url, PATH=str(programs))
        assert (name, "docker is not in PATH" in reason) == ("local", True)
        (programs / "docker").touch(mode=0o755)
        name, reason = await chosen(ours, tmp_path, DOCKER_HOST=url, PATH=str(programs))
        assert (name, reason) == ("dagger", f"Docker answers at {url}, and the Dagger engine runs in it")
    name, reason = await chosen(ours, tmp_path, DOCKER_HOST=nowhere, PATH=str(programs))
    assert (name, reason) == ("local", f"no Dagger engine is named and no Docker answers at {nowhere}")
    named = {RUNNER_HOST: "docker-image://example.test/engine", "DOCKER_HOST": nowhere}
    assert (await chosen(ours, tmp_path, **named))[0] == "local"


async def test_health_says_which_it_is(client: httpx2.AsyncClient):
    engine = (await client.get("/health")).json()["engine"]
    assert engine["name"] == engine["capabilities"]["name"]
    assert {"reason", "ok", "detail", "name", "capabilities"} == engine.keys()


async def test_an_engine_without_images_shows_none_and_refuses_one(client: httpx2.AsyncClient, git: GitRepositories):
    assert (await client.get("/health")).json()["engine"]["capabilities"]["foreign_images"] is False
    url = git.make("repo")
    refused = await client.post(RUNS, json={"repo_url": url, "prompt": "do it", "image": "node:22"})
    assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (422, "image.foreign", "image")
    run = await start_run(client, url, "true")
    await until(client, run)
    assert (await view(client, run))["image"] == ""
