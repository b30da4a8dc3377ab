"""Whom the Postgres server runs as: root gives its rights up, for Postgres refuses to have them."""

import os
import pwd
import stat
from contextlib import suppress
from pathlib import Path

import msgspec

from service.db.binaries import EmbeddedPostgresError

_CANDIDATES = ("postgres", "nobody")


class Account(msgspec.Struct, frozen=True):
    """A user of this machine."""

    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """True where we are root and the server is not."""
        return self.uid != os.geteuid()

    def own(self, path: Path) -> None:
        if self.is_other:
            os.chown(path, self.uid, self.gid)

    def make_private(self, folder: Path) -> None:
        """Make a folder that this user alone may enter; in /tmp, another may have been quicker."""
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid not in {self.uid, os.geteuid()}:
            raise EmbeddedPostgresError(f"{folder} is in the way: it belongs to user {about.st_uid}")
        self.own(folder)
        folder.chmod(0o700)

    def check_reach(self, path: Path) -> None:
        """Say which folder keeps this user from `path`, better than Postgres would."""
        if not self.is_other:
            return
        for folder in (path, *path.parents):
            about = folder.stat()
            if not about.st_mode & stat.S_IXOTH and about.st_uid != self.uid:
                raise EmbeddedPostgresError(
                    f"root's Postgres runs as {pwd.getpwuid(self.uid).pw_name}, who cannot reach {path}: {folder} has "
                    f"mode {stat.S_IMODE(about.st_mode):04o}"
                )


def find_account(pgdata: Path) -> Account:
    """Return ourselves, or for root the owner of the data, or else a user who has no rights.

    It has to be a user whom the system knows by name: initdb asks.

    Raises:
        EmbeddedPostgresError: there is no such user.

    """
    if (uid := os.geteuid()) != 0:
        with suppress(KeyError):
            pwd.getpwuid(uid)
            return Account(uid, os.getegid())
        raise EmbeddedPostgresError(
            f"Postgres refuses to run as user {uid}, who has no name here: add one to /etc/passwd, or be one who has"
        )
    if pgdata.exists():
        about = pgdata.stat()
        return Account(about.st_uid, about.st_gid)
    for name in _CANDIDATES:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedPostgresError(f"Postgres refuses to run as root, and there is no user {' or '.join(_CANDIDATES)}")
