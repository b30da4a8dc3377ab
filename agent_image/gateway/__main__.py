"""`python -m agent_image.gateway`: the process that alone holds a run's model keys."""

import argparse
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Mapping
from functools import partial
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Never, cast
from urllib.parse import urlsplit

import anyio
import httpx2

from agent_image.emitter import Emitter
from agent_image.events import EXIT_STATUS, Finished, Outcome, Started
from agent_image.gateway.app import create_app
from agent_image.gateway.gateway import Gateway
from agent_image.gateway.ledger import Ledger
from agent_image.gateway.plan import Plan
from agent_image.gateway.plan_file import PlanError, read_plan
from agent_image.gateway.server import Server, listen, listen_unix

_PR_SET_PDEATHSIG = 1
_LONGEST_REASON = 1000


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Never:
        raise PlanError(message)


def main() -> int:
    """Serve what the arguments ask for until SIGTERM or SIGINT, and return the exit status."""
    try:
        arguments = _parser().parse_args()
        plan, keys = read_plan(Path(arguments.plan), os.environ)
        listener = _listen(arguments)
    except PlanError as error:
        print(error, file=sys.stderr)  # noqa: T201 stderr is for people
        return 2
    if arguments.with_parent:
        _end_with_parent()
    emitter, stop = Emitter(1), anyio.Event()
    ledger = Ledger(emitter, stop)
    outcome, reason = Outcome.SUBMITTED, ""
    try:
        with listener:
            is_told = bool(arguments.unix) or arguments.listen.endswith(":0")
            serve = partial(_serve, plan, keys, listener, ledger, stop, is_told=is_told)
            anyio.run(serve, backend_options={"use_uvloop": find_spec("uvloop") is not None})
    except Exception as error:  # noqa: BLE001 the crash boundary: whatever happens, the gateway has a last word
        traceback.print_exception(error)
        outcome, reason = Outcome.CRASHED, _named(error)[:_LONGEST_REASON]
    status = EXIT_STATUS[outcome]
    ledger.emit(partial(Finished, outcome=outcome, exit=status, seconds=emitter.seconds, reason=reason))
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m agent_image.gateway",
        description="Relay model calls for those whom a plan lets in, and print what they take, one JSON event a line. "
        "Where the address was left open, stderr has `listening on …` with it.",
        epilog="Exit status: 0 after SIGTERM or SIGINT, 2 for arguments or a plan that make no sense, 70 crashed.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--plan", metavar="FILE", required=True, help="JSON, see agent_image/gateway/plan.py")
    add("--with-parent", action="store_true", help="end when the process ends that started this one; on Linux only")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--listen", metavar="HOST:PORT", default="0.0.0.0:8080", help="where; port 0 for any that is "
        "free (default: 0.0.0.0:8080)")  # fmt: skip
    where.add_argument("--unix", metavar="PATH", help="a socket to make instead")
    return parser


def _listen(arguments: argparse.Namespace) -> socket:
    where = arguments.unix or arguments.listen
    try:
        return listen_unix(arguments.unix) if arguments.unix else listen(arguments.listen)
    except (OSError, ValueError) as error:
        raise PlanError(f"{where} cannot be listened at: {error}") from error


def _end_with_parent() -> None:
    """Get SIGTERM when the parent ends. One that has ended already reads no events, which ends this process too."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


async def _serve(
    plan: Plan, keys: Mapping[str, str], listener: socket, ledger: Ledger, stop: anyio.Event, *, is_told: bool
) -> None:
    """Serve until `stop` is set, by a signal or because nobody reads the events."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as background:
            background.start_soon(_stop_when_told, signals, stop)
            async with _client(plan) as client, anyio.create_task_group() as serving:
                gateway = Gateway(plan, keys, client=client, ledger=ledger)
                server = Server(create_app(gateway))
                serving.start_soon(server.serve, [listener])
                ledger.emit(partial(Started, agent="gateway"))
                if is_told:
                    print("listening on", _address(listener), file=sys.stderr, flush=True)  # noqa: T201 stderr is for people
                await stop.wait()
                gateway.access.retire_all()
                server.should_exit = True
            background.cancel_scope.cancel()


async def _stop_when_told(signals: AsyncIterator[signal.Signals], stop: anyio.Event) -> None:
    async for _ in signals:
        stop.set()


def _client(plan: Plan) -> httpx2.AsyncClient:
    """How long an answer may take is seen to where it is read. Providers nearby are not behind the usual proxy."""
    timeout = httpx2.Timeout(None, connect=plan.patience.connect_s)
    hosts = {urlsplit(provider.base_url).hostname or "" for provider in plan.providers}
    nearby = [f"all://[{host}]" if ":" in host else f"all://{host}" for host in hosts if _is_nearby(host)]
    limits = httpx2.Limits(max_connections=None)
    return httpx2.AsyncClient(limits=limits, timeout=timeout, mounts=dict.fromkeys(nearby))


def _is_nearby(host: str) -> bool:
    """Whether a host is on this machine or beside it: a name of one word is no other's."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return "." not in host


def _address(listener: socket) -> str:
    address = listener.getsockname()
    return address if listener.family == AF_UNIX else f"{address[0]}:{address[1]}"


def _named(error: Exception) -> str:
    while isinstance(error, ExceptionGroup):
        error = cast("ExceptionGroup[Exception]", error).exceptions[0]
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
