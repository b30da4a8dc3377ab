"""One Dagger session: a process of the CLI that holds a run's connection to the engine.

Whatever the session started ends with it. The process speaks GraphQL on a local port, to whoever has its token.
"""

import os
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from signal import Signals
from subprocess import PIPE
from typing import IO

import anyio
import dagger
import httpx
import msgspec
import structlog
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from dagger.client._config import ConnectConfig
from dagger.client._session import ConnectParams, SingleConnection
from dagger.provisioning._download import Downloader
from dagger.provisioning._progress import Progress
from msgspec import Struct
from rich.console import Console

from service.engine.dagger.place import CLI_BIN
from service.engine.signals import send_signal
from service.errors import EngineLostError

logger: structlog.stdlib.BoundLogger = structlog.get_logger()

_START_S = 300.0
"""Seconds for a session to be there; the first one may have to bring the engine's image."""
_CLOSE_S = 5.0
_TAIL_BYTES = 2_000


class Session(Struct, frozen=True):
    """An open session; `port` and `token` are what its HTTP interface takes."""

    client: dagger.Client
    port: int
    token: str


class _Parameters(Struct, frozen=True):
    port: int
    session_token: str


@asynccontextmanager
async def open_session(environ: Mapping[str, str]) -> AsyncGenerator[Session]:
    """Start a session, and end it with everything in it.

    Raises:
        EngineLostError: no session within 20 seconds; the message has the end of what the process said.

    """
    # Unread, the progress that it writes to stderr would fill a pipe, and the process would hang.
    with tempfile.TemporaryFile() as said:
        async with _process(environ, said) as process:
            parameters = await _parameters(process, said)
            connection = await _connect(parameters)
            try:
                yield Session(dagger.Client.from_connection(connection), parameters.port, parameters.session_token)
            finally:
                with anyio.move_on_after(_CLOSE_S, shield=True):
                    await connection.close()


@asynccontextmanager
async def _process(environ: Mapping[str, str], said: IO[bytes]) -> AsyncGenerator[Process]:
    cli = environ.get(CLI_BIN) or await _download()
    try:
        # In a session of its own: Ctrl-C in our terminal is ours to act on, and a run ends before its engine does.
        process = await anyio.open_process(
            [cli, "session", "--label", "dagger.io/sdk.name:python"],
            stdin=PIPE,
            stdout=PIPE,
            stderr=said,
            env=environ,
            start_new_session=True,
        )
    except OSError as error:
        raise EngineLostError(f"the Dagger CLI {cli} cannot be started: {error}") from error
    try:
        yield process
    finally:
        await _end(process)


async def _download() -> str:
    """Return the CLI of the SDK's version, from its cache or from where Dagger publishes it."""
    try:
        return await Downloader(progress=Progress(Console(quiet=True)))
    except (dagger.DaggerError, httpx.HTTPError, OSError) as error:
        raise EngineLostError(f"the Dagger CLI cannot be had: {error}") from error


async def _end(process: Process) -> None:
    """Ask by closing its stdin; after the engine's death it does not hear that, so then by force."""
    with anyio.move_on_after(_CLOSE_S, shield=True):
        assert process.stdin is not None
        await process.stdin.aclose()
        await process.wait()
    if process.returncode is None:
        logger.warning("dagger session did not end and was killed", pid=process.pid)
        send_signal(process, Signals.SIGKILL)
    with anyio.move_on_after(_CLOSE_S, shield=True):
        await process.aclose()


async def _parameters(process: Process, said: IO[bytes]) -> _Parameters:
    assert process.stdout is not None
    try:
        with anyio.fail_after(_START_S):
            line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 65_536)
        return msgspec.json.decode(line, type=_Parameters)
    except (TimeoutError, anyio.IncompleteRead, anyio.DelimiterNotFound, msgspec.DecodeError) as error:
        raise EngineLostError(f"the Dagger engine does not answer: {_tail(said)}") from error


def _tail(said: IO[bytes]) -> str:
    said.seek(0, os.SEEK_END)
    said.seek(max(0, said.tell() - _TAIL_BYTES))
    return " ".join(said.read().decode(errors="replace").split()) or "it said nothing"


async def _connect(parameters: _Parameters) -> SingleConnection:
    # No retries: an executed request that failed would be executed again. No time limit: an agent may take hours.
    config = ConnectConfig(retry=None)
    try:
        with anyio.fail_after(_START_S):
            return await SingleConnection(
                ConnectParams(port=parameters.port, session_token=parameters.session_token), config
            )
    except (dagger.ClientError, TimeoutError) as error:
        raise EngineLostError(f"the Dagger engine does not answer: {error}") from error
