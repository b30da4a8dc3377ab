"""git over HTTP on 127.0.0.1: a true one, and servers that are up to no good."""

import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from msgspec import Struct, field

ADVERTISEMENT = "application/x-git-upload-pack-advertisement"


class Served(Struct):
    """A server: where it is, and what it has been asked."""

    scheme: str
    port: int
    asked: list[str] = field(default_factory=list[str])
    """The paths of all requests."""
    connected: list[object] = field(default_factory=list[object])
    """Where all connections came from, whatever was said there."""

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


class Request(BaseHTTPRequestHandler):
    """A request, with what came before it, and who answers it."""

    asked: ClassVar[list[str]]
    connected: ClassVar[list[object]]
    answer: ClassVar[Callable[["Request"], None]]

    def setup(self) -> None:
        self.connected.append(self.client_address)
        super().setup()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        type(self).answer(self)

    def do_POST(self) -> None:
        self.do_GET()

    def reply(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name
        pass


Answer = Callable[[Request], None]


@contextmanager
def http_server(answer: Answer, *, certificate: Path | None = None) -> Generator[Served]:
    """Answer each request; with a certificate, and its key in the same file, over TLS."""
    served = Served("https" if certificate else "http", 0)
    heard = {"asked": served.asked, "connected": served.connected, "answer": staticmethod(answer)}
    kind = type("Heard", (Request,), heard)
    with _Server(("127.0.0.1", 0), kind) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        served.port = server.server_address[1]
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield served
        finally:
            server.shutdown()
            serving.join()


def repositories(folder: Path) -> Answer:
    """Serve every repository below `folder`, as git itself does it."""

    def answer(request: Request) -> None:
        path, _, query = request.path.partition("?")
        environ = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROJECT_ROOT": str(folder),
            "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": request.command,
            "CONTENT_TYPE": request.headers.get("content-type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
        }
        body = request.rfile.read(int(request.headers.get("content-length", 0)))
        said = subprocess.run(["git", "http-backend"], input=body, env=environ, check=False, capture_output=True).stdout
        head, _, content = said.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        request.reply(status, headers, content)

    return answer


def with_status(status: int, **headers: str) -> Answer:
    return lambda request: request.reply(status, {name.replace("_", "-"): value for name, value in headers.items()})


def trickling(request: Request) -> None:
    """Begin as a git server does, then send a byte now and then, for as long as somebody listens."""
    request.send_response(200)
    request.send_header("content-type", ADVERTISEMENT)
    request.end_headers()
    try:
        while True:
            request.wfile.write(b"0")
            time.sleep(0.2)
    except OSError:
        return


@contextmanager
def silent_server() -> Generator[int]:
    """The port of a server that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


def make_certificate(file: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed but itself, with its key."""
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    made += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    key = file.with_suffix(".key")
    subprocess.run([*made, "-keyout", str(key), "-out", str(file)], check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + key.read_bytes())
    return file


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a client that never leaves must not keep us here
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # who connects may leave at any time
