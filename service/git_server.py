"""git's own server, on 127.0.0.1: what repositories of this machine are cloned from."""

import os
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer

from service.errors import EngineUnavailableError
from service.install import how_to_install

_REFUSED = ("receive-pack", "upload-archive")
NO_FETCHING = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none", "GIT_TERMINAL_PROMPT": "0"}
"""For git in a folder of somebody else's: fetching what is missing there would run what its settings name."""


@contextmanager
def git_server(folder: Path, *, port: int = 0, trace: Path | None = None) -> Generator[str]:
    """Serve every repository below `folder`; yields the URL that their paths are put behind.

    On `port`, if that is to be had, else on a free one. With `trace`, what server and clients say to each other is
    appended there, packet by packet (`GIT_TRACE_PACKET`).

    Raises:
        EngineUnavailableError: this machine's git has no server.

    """
    _check_daemon()
    # What a repository's own settings may not turn on: pushes run its hooks, archives its filters.
    refused = (f"--{how}={service}" for service in _REFUSED for how in ("disable", "forbid-override"))
    daemon = ["git", "daemon", "--inetd", "--export-all", *refused, f"--base-path={folder}"]
    environ = {**os.environ, **NO_FETCHING}
    if trace:
        environ["GIT_TRACE_PACKET"] = str(trace)

    class Connection(BaseRequestHandler):
        def handle(self) -> None:
            subprocess.run(
                daemon, stdin=self.request, stdout=self.request, stderr=subprocess.DEVNULL, env=environ, check=False
            )

    with _listen(port, Connection) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield f"git://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            serving.join()


def _check_daemon() -> None:
    try:
        told = subprocess.run(["git", "--exec-path"], capture_output=True, check=True, text=True)
    except FileNotFoundError as error:
        raise EngineUnavailableError(f"git is not installed: {how_to_install('git')}") from error
    if not Path(told.stdout.strip(), "git-daemon").exists():
        raise EngineUnavailableError(f"git's own server is not installed: {how_to_install('git-daemon')}")


def _listen(port: int, connection: type[BaseRequestHandler]) -> "_Server":
    try:
        return _Server(("127.0.0.1", port), connection)
    except OSError:
        return _Server(("127.0.0.1", 0), connection)


class _Server(ThreadingTCPServer):
    daemon_threads = True  # a client that never leaves must not keep us here
    request_queue_size = 64
    allow_reuse_address = True  # connections of the server before it may not have been forgotten yet
