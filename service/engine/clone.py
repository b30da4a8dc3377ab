"""Why a clone failed: git's words, and those of an engine that runs it, turned into codes that stay."""

import errno
from collections.abc import Sequence

from service.errors import PrepareError

_CODES = (
    ("clone.redirect", tuple(f"returned error: {status}" for status in (301, 302, 303, 307, 308))),
    ("clone.unsafe", ("fsck error", "fsck found errors")),
    ("clone.too_large", ("died of signal 25", "file too large", "died of signal 9", "out of memory")),
    ("clone.disk_full", ("no space left on device", "unable to write", "disk quota exceeded")),
    ("clone.dns", ("no such host", "could not resolve host", "unable to look up", "name or service not known")),
    (
        "clone.refused",
        ("connection refused", "connection reset", "unable to connect", "couldn't connect", "network is unreachable"),
    ),
    ("clone.tls", ("certificate", "tls:", "ssl")),
    ("clone.auth", ("authentication", "could not read username", "401", "403", "terminal prompts disabled")),
    (
        "clone.ref",
        ("does not contain ref", "not our ref", "couldn't find remote ref", "unadvertised object", "commit type"),
    ),
    ("clone.not_found", ("not found", "404", "not exported", "does not appear to be a git repository")),
    # Through a tunnel, which takes a connection before it knows whether anyone is at its other end.
    ("clone.refused", ("could not read from remote repository", "empty reply from server")),
    ("clone.timeout", ("timed out", "timeout", "deadline exceeded", "too slow")),
)
_MOST = 500
_KILLED = {
    137: "git was killed: it needed more memory than it may have",
    153: "git was killed: a file became larger than it may be",
}
_KILLED_UNPACKING = "fatal: fetch-pack: invalid index-pack output"
"""By a signal, for else there would be another line that says why."""
_NO_HEAD = ('does not contain ref "HEAD"', "couldn't find remote ref HEAD")
_ELSEWHERE = (
    "the server sends the clone elsewhere, which is not followed: name the repository's own URL, perhaps with .git"
)


def clone_error(message: str, git_said: str) -> PrepareError:
    """Which of our codes a failed clone is; the first row that fits decides.

    An engine may say of git's end no more than its exit status; why, git itself said. Where the remote has not even a
    HEAD, it is empty.
    """
    said = f"{git_said} {message}"
    if any(sign in said for sign in _NO_HEAD):
        return PrepareError("clone.empty", "the repository has no commit")
    code = next((code for code, signs in _CODES if any(sign in said.lower() for sign in signs)), "clone.failed")
    return PrepareError(code, _ELSEWHERE if code == "clone.redirect" else git_said.strip() or message)


def git_error(status: int, stderr: bytes, hidden: Sequence[str]) -> PrepareError:
    """The same of a git that ran here; what a server has it print does not count."""
    if status in _KILLED:
        return PrepareError("clone.too_large", _KILLED[status])
    said = stderr.decode(errors="replace")
    for url in hidden:
        for form in (f"'{url}/'", f"'{url}'", url):
            said = said.replace(form, "it")
    own = " ".join(line for line in said.splitlines() if line and not line.startswith("remote: "))
    if own == _KILLED_UNPACKING:
        return PrepareError("clone.too_large", "git was killed: what it fetched is larger than it may be")
    message = "".join(each if each.isprintable() else " " for each in own)[:_MOST]
    return clone_error(f"git ended with status {status}", message)


def disk_error(error: OSError) -> PrepareError:
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return PrepareError("clone.disk_full" if full else "clone.failed", error.strerror or str(error))
