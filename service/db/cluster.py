"""One Postgres server and its files; every method here blocks, within limits.

home/                   entered by anyone, so that an unprivileged server reaches its part
    postgres-…/         root only: the wheel's programs, copied
    data/               made elsewhere and renamed, so it is whole or not there
        password        of the database's user; its owner's alone
        pgdata/         the server's alone
    run/                the socket
    server.log          of the present start, server.old.log of the one before
"""

import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from service.db.account import Account, find_account
from service.db.binaries import Binaries, EmbeddedPostgresError, copy_wheel

USER = DATABASE = "aideator"

_SOCKET = ".s.PGSQL.5432"
_MAX_SOCKET_BYTES = 100  # the kernels allow 103 to 107
_CREATE_S = 120
_START_S = 60
_STOP_S = 10
_DYING_S = 20
_LOG_LINES = 20
# What a start says while a server that was killed this moment, or a child of it, is not quite gone.
_STILL_DYING = ("shared memory block", 'lock file "postmaster.pid" already exists')


class Cluster:
    """The server below `home`, running or not."""

    def __init__(self, home: Path, binaries: Binaries) -> None:
        self._home = home
        self._binaries = binaries
        self._data = home / "data"
        self._pgdata = self._data / "pgdata"
        self._log = home / "server.log"
        self._account = find_account(self._pgdata)
        self._sockets = _socket_folder(home, self._account)

    def url(self) -> str:
        """The database's URL for SQLAlchemy, password included."""
        password = (self._data / "password").read_text()
        return f"postgresql+asyncpg://{USER}:{password}@/{DATABASE}?host={self._sockets}"

    def process(self) -> int | None:
        """The number of the server's process; None where none says that it runs."""
        with suppress(ValueError, IndexError):
            return int(self._status()[0])
        return None

    def start(self) -> None:
        """Make sure that the server runs and takes connections, creating whatever it needs.

        Raises:
            EmbeddedPostgresError: it does not; the end of its log is in the message.

        """
        for leftover in self._home.glob("new-*"):  # of whoever was killed in the middle
            shutil.rmtree(leftover, ignore_errors=True)
        if self._account.is_other:  # also where it runs already, for it may be us who stop it
            self._binaries = copy_wheel(self._binaries, self._home)
        if not self._answers():
            with suppress(FileNotFoundError):
                self._log.replace(self._log.with_suffix(".old.log"))
            self._prepare()
            self._launch()
        self._await_ready()

    def stop(self) -> None:
        """End the server if it runs: its clients are cut off, nothing that was committed is lost."""
        for mode in ("fast", "immediate"):  # after the second, the next start recovers
            if not self._answers():
                return
            with suppress(EmbeddedPostgresError):
                command = ["pg_ctl", "stop", "-w", "-t", str(_STOP_S), "-m", mode]
                self._run(*command, pgdata=self._pgdata, limit_s=_STOP_S + 5)
        if self._answers():
            raise self._error("Postgres does not stop")

    def _launch(self) -> None:
        options = f"-h '' -k {shlex.quote(str(self._sockets))}"
        command = ["pg_ctl", "start", "-w", "-t", str(_START_S), "-o", options]
        limit = time.monotonic() + _DYING_S
        while True:
            self._reap()
            try:
                return self._run(*command, pgdata=self._pgdata, limit_s=_START_S + 5)
            except EmbeddedPostgresError as error:
                if time.monotonic() > limit or not any(sign in str(error) for sign in _STILL_DYING):
                    raise
            time.sleep(0.1)

    def _reap(self) -> None:
        # As the first process of a container we inherit the server; killed and not waited for, it would count as alive.
        if os.getpid() == 1 and (server := self.process()):
            with suppress(ChildProcessError):
                os.waitpid(server, os.WNOHANG)

    def _prepare(self) -> None:
        for path in (self._home, self._binaries.folder):
            self._account.check_reach(path)
        self._account.make_private(self._sockets)
        ours = self._binaries.major()
        if not self._data.exists():
            self._create()
        has = (self._pgdata / "PG_VERSION").read_text().strip()
        if has != ours:
            raise EmbeddedPostgresError(
                f"{self._data} was written by Postgres {has}, and {self._binaries.folder} is Postgres {ours}: install "
                f"Postgres {has}, or move the folder away to begin with an empty one"
            )

    def _create(self) -> None:
        with TemporaryDirectory(prefix="new-", dir=self._home) as name:
            scratch = Path(name)
            data, pgdata, password = (scratch / part for part in ("data", "data/pgdata", "data/password"))
            for folder in (scratch, data):
                folder.mkdir(exist_ok=True)
                folder.chmod(0o711 if self._account.is_other else 0o700)
            self._account.make_private(pgdata)
            with open_private(password) as file:
                file.write(secrets.token_urlsafe(32).encode())
            self._account.own(password)  # for as long as initdb has to read it
            command = ["initdb", "--username", USER, f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8"]
            # The C locale is the only one that every system has; collation is by code point.
            self._run(*command, "--locale=C", pgdata=pgdata, limit_s=_CREATE_S)
            # Made by a server without clients, before anyone can see the folder: a cluster always has its database.
            command = ["postgres", "--single", "-c", "exit_on_error=true", "template1"]
            self._run(*command, pgdata=pgdata, limit_s=_CREATE_S, stdin=f"CREATE DATABASE {DATABASE};\n")
            os.chown(password, os.geteuid(), os.getegid())
            data.rename(self._data)

    def _run(self, *command: str, pgdata: Path, limit_s: float, stdin: str = "") -> None:
        """Run one of the programs as the server's user; what it prints goes to the log."""
        account = self._account
        # A clean environment, for PGPORT and its like change what is run; and no shell sees the path in PGDATA.
        environ = {"PATH": os.defpath, "PGDATA": str(pgdata), "LC_ALL": "C", "TZ": "UTC"}
        try:
            with open_private(self._log) as log:
                subprocess.run(
                    [self._binaries.folder / command[0], *command[1:]],
                    input=stdin.encode(),
                    stdout=log,
                    stderr=log,
                    check=True,
                    cwd="/",
                    env=environ,
                    timeout=limit_s,
                    start_new_session=True,  # a Ctrl-C is for us, not for initdb half-way
                    user=account.uid if account.is_other else None,
                    group=account.gid if account.is_other else None,
                    extra_groups=[] if account.is_other else None,
                )
        except subprocess.SubprocessError as error:
            raise self._error(f"{command[0]} failed") from error

    def _error(self, what: str) -> EmbeddedPostgresError:
        with suppress(FileNotFoundError):
            lines = self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
            what = "\n  ".join([f"{what}; the end of {self._log}:", *lines])
        return EmbeddedPostgresError(what)

    def _answers(self) -> bool:
        """Tell whether the server listens.

        Neither sign is enough: the number in its file may be another process's by now, and the children of a server
        that was killed hold its socket for a moment.
        """
        server = self.process()
        if server is None:
            return False
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            os.kill(server, 0)
            client.connect(str(self._sockets / _SOCKET))
            return True
        return False

    def _await_ready(self) -> None:
        """Wait for a server that someone else started and that may still be recovering."""
        for _ in range(_START_S * 50):
            # The eighth line is what pg_ctl goes by as well.
            if [line.strip() for line in self._status()[7:8]] == ["ready"]:
                return
            time.sleep(0.02)
        raise self._error("Postgres runs and takes no connections")

    def _status(self) -> list[str]:
        """What the server says of itself, line by line; nothing if it does not run."""
        with suppress(FileNotFoundError):
            return (self._pgdata / "postmaster.pid").read_text().splitlines()
        return []


def make_home(home: Path) -> None:
    """Make the folder that everything lives in, if it is not there yet."""
    if not home.exists():
        home.mkdir(parents=True)
        home.chmod(0o711 if os.geteuid() == 0 else 0o700)


def open_private(path: Path, *, create: bool = True) -> BinaryIO:
    """Open a file for appending that nobody else may read or lock."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | (os.O_CREAT if create else 0), 0o600), "ab")


def _socket_folder(home: Path, account: Account) -> Path:
    """Below `home`, or in /tmp where that path is too long for a socket or odd enough to need quoting."""
    folder = home / "run"
    if len(str(folder / _SOCKET)) <= _MAX_SOCKET_BYTES and re.fullmatch(r"[A-Za-z0-9/._+-]+", str(folder)):
        return folder
    # Never TMPDIR: two processes that share a home must come to the same path.
    return Path("/tmp", f"aideator-{account.uid}-{sha256(os.fsencode(home)).hexdigest()[:12]}")  # noqa: S108
