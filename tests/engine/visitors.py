"""A server on this machine that containers visit: so they are counted, held at a door, or let go all at once."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer

_CALL = (
    "import socket, sys; call = socket.create_connection((sys.argv[1], int(sys.argv[2]))); "
    'call.sendall(sys.argv[3].encode() + b"\\n"); sys.exit(not call.recv(1))'
)
_PATIENCE_S = 120


class Visitors:
    """Who has called so far, and the door they wait at, which opens by `let_in` or when `opens_at` are there."""

    def __init__(self, opens_at: int) -> None:
        self.names: list[str] = []
        self._opens_at = opens_at
        self._came = threading.Condition()
        self._open = threading.Event()
        self._where = ""

    def visit(self, name: str) -> str:
        """The shell command by which a container with Python visits under `name`, variables in it expanded."""
        return f"""python3 -c '{_CALL}' {self._where} "{name}\""""

    def let_in(self) -> None:
        self._open.set()

    def wait_for(self, count: int) -> None:
        """Return when `count` have called."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.names) >= count, _PATIENCE_S), self.names

    def receive(self, name: str) -> bool:
        """Note a visitor and hold it at the door; False if that never opens."""
        with self._came:
            self.names.append(name)
            self._came.notify_all()
            if len(self.names) >= self._opens_at:
                self._open.set()
        return self._open.wait(_PATIENCE_S)

    def listen_at(self, port: int) -> None:
        self._where = f"{_own_address()} {port}"


@contextmanager
def visitors(*, opens_at: int = 1) -> Generator[Visitors]:
    """Receive visitors, who are let in when there are `opens_at` of them."""
    here = Visitors(opens_at)

    class Visit(StreamRequestHandler):
        def handle(self) -> None:
            if here.receive(self.rfile.readline().decode().strip()):
                self.wfile.write(b".")

    with _Server(("0.0.0.0", 0), Visit) as server:
        here.listen_at(server.server_address[1])
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield here
        finally:
            here.let_in()
            server.shutdown()
            serving.join()


class _Server(ThreadingTCPServer):
    daemon_threads = True  # whoever waits at the door must not keep us here
    request_queue_size = 64


def _own_address() -> str:
    """This machine's address as its neighbours see it, containers of any engine here included; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]
