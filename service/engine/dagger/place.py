"""Where a Dagger engine is, and whether one answers: without Dagger's own packages, which take seconds to load."""

import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import anyio
from anyio.abc import ByteStream

from service.engine import Health
from service.settings import read_env_file

RUNNER_HOST = "_EXPERIMENTAL_DAGGER_RUNNER_HOST"
CLI_BIN = "_EXPERIMENTAL_DAGGER_CLI_BIN"

CHECKOUT = Path(__file__).parents[3]
"""The folder of our own sources: `make engine` notes its engine there, and whoever writes there writes our code."""

_DOCKER = "unix:///var/run/docker.sock"
_ANSWER_S = 3.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a gRPC client begins, with settings that set nothing: https://www.rfc-editor.org/rfc/rfc9113#section-3.4"""
_FRAME_BYTES = 9
_SETTINGS = 4


def client_environ(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return `environ` with what a client of the engine needs.

    An engine that the environment names goes before the one that `make engine` noted in `folder/.engine/env`, which is
    never that of a working directory: it names a program that is run. A set and dead `SSH_AUTH_SOCK` breaks every call,
    and nothing here uses one.
    """
    noted = {} if RUNNER_HOST in environ else _noted(folder / ".engine" / "env")
    quiet = {"DO_NOT_TRACK": "1", "DAGGER_NO_UPDATE_CHECK": "1", "DAGGER_NO_NAG": "1"}
    return {**environ, **quiet, **noted, "SSH_AUTH_SOCK": ""}


def _noted(file: Path) -> dict[str, str]:
    """What `make engine` wrote, where its socket is that of somebody who may do as we do, or more."""
    found = read_env_file(file)
    scheme, _, path = found.get(RUNNER_HOST, "").partition("://")
    try:
        about = os.stat(path) if scheme == "unix" else None  # noqa: PTH116 -- "" is no path, and Path("") is one
    except (OSError, ValueError):
        return {}
    if about is None or not stat.S_ISSOCK(about.st_mode) or about.st_uid not in {0, os.geteuid()}:
        return {}
    return {name: found[name] for name in (RUNNER_HOST, CLI_BIN) if found.get(name)}


async def look_for_dagger(environ: Mapping[str, str]) -> Health:
    """Look whether an engine can be had, within seconds; nothing is started or downloaded for it.

    `environ` is that of a client of the engine. An engine in a way that cannot be looked into is taken at its word.
    """
    host = environ.get(RUNNER_HOST, "")
    scheme = host.partition("://")[0]
    if scheme in {"unix", "tcp"}:
        if await _answers(host, _PREFACE, _is_settings):
            return Health(ok=True, detail=f"a Dagger engine answers at {host}")
        return Health(ok=False, detail=f"no Dagger engine answers at {host}")
    if host and not scheme.startswith("docker"):
        return Health(ok=True, detail=f"{RUNNER_HOST} names {host}")
    docker = environ.get("DOCKER_HOST") or _DOCKER
    if not await _answers(docker, b"GET /_ping HTTP/1.0\r\n\r\n", _is_http):
        named = f"the engine {host} needs Docker, and none" if host else "no Dagger engine is named and no Docker"
        return Health(ok=False, detail=f"{named} answers at {docker}")
    if shutil.which("docker", path=environ.get("PATH")) is None:
        return Health(ok=False, detail=f"Docker answers at {docker}, but the program docker is not in PATH")
    return Health(ok=True, detail=f"Docker answers at {docker}, and the Dagger engine runs in it")


def _is_settings(answer: bytes) -> bool:
    """A server's first frame has its settings."""
    return len(answer) >= _FRAME_BYTES and answer[3] == _SETTINGS


def _is_http(answer: bytes) -> bool:
    return answer.startswith(b"HTTP/1.")


async def _answers(where: str, question: bytes, is_answer: Callable[[bytes], bool]) -> bool:
    """Whether somebody who speaks the protocol listens there; one who takes a connection may still say nothing."""
    answer = b""
    try:
        with anyio.fail_after(_ANSWER_S):
            async with await _connect(where) as stream:
                await stream.send(question)
                while len(answer) < _FRAME_BYTES:
                    answer += await stream.receive()
    except (OSError, ValueError, anyio.EndOfStream, anyio.BrokenResourceError):
        return False
    return is_answer(answer)


async def _connect(where: str) -> ByteStream:
    scheme, _, path = where.partition("://")
    if scheme == "unix":
        return await anyio.connect_unix(path)
    place = urlsplit(where)
    if scheme not in {"tcp", "http"} or not place.hostname or not place.port:
        raise ValueError(f"{where} is no place to connect to")
    return await anyio.connect_tcp(place.hostname, place.port)
