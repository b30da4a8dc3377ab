"""Start bubblewrap in the right place: a program of its own, which knows the standard library alone.

Reads a plan from stdin, joins control groups, and where it is root makes a mount namespace of its own, in which it
gathers what the sandbox will show, and becomes a user who owns nothing else. Those mounts are nobody else's, and gone
with the last process that sees them, however that ends. The plan is not in the command line, which others can read.
"""

import binascii
import ctypes
import fcntl
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence

STAGE = "/mnt"
"""Where root gathers what the sandbox will show, in a mount namespace of the sandbox's own."""
TREE = f"{STAGE}/tree"
"""Where an overlay is."""

SANDBOX = "aideator-sandbox"
"""What bubblewrap's processes call themselves, so that those whom nobody holds any more can be told."""

# A shell knows descriptors of one digit.
_STDIN, _STDOUT, _STDERR, _ARGUMENTS, _FILTER, _INFO = range(3, 9)
_ASIDE = 20
_TAKE = f'exec "$@" <&{_STDIN} >&{_STDOUT} 2>&{_STDERR} {_STDIN}<&- {_STDOUT}>&- {_STDERR}>&-'
"""What stands before a command, and takes its own past bubblewrap."""

_KEYCTL = {"x86_64": 250, "aarch64": 219}
_JOIN_SESSION_KEYRING = 1
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_CLONE_NEWNS = 0x20000
_LIBC = ctypes.CDLL(None, use_errno=True)

Binds = Sequence[tuple[str, str, bool]]
"""Of each: what is shown, where, and whether it can be written."""


def main() -> None:
    """Become bubblewrap, as the plan on stdin says: its fields are those of `Plan` in `confinement.py`."""
    plan = json.load(sys.stdin.buffer)
    _close_all_but(plan["info"])
    for procs in plan["procs"]:
        _write(procs, str(os.getpid()))
    binds = plan["binds"]
    if plan["user"] is not None:
        binds = _stage(binds, plan["overlay"])
        _become(plan["user"])
    _limit(plan["limits"], plan["room_for"])
    _leave_keyring()
    shown = [part for source, target, writable in binds for part in (_bind(writable=writable), source, target)]
    filtered = binascii.a2b_base64(plan["filter"])
    told = ["--info-fd", str(_INFO), *(["--seccomp", str(_FILTER)] if filtered else [])]
    arguments = b"".join(os.fsencode(each) + b"\0" for each in [*told, *plan["before"], *shown, *plan["after"]])
    _arrange(
        {
            _STDIN: _in_memory(binascii.a2b_base64(plan["stdin"])),
            _STDOUT: 1,
            _STDERR: 2,
            _ARGUMENTS: _in_memory(arguments),
            _FILTER: _in_memory(filtered),
            _INFO: plan["info"],
        }
    )
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and would have all others do so
        signal.signal(number, signal.SIG_DFL)
    line = [SANDBOX, "--args", str(_ARGUMENTS), "--", "/bin/sh", "-c", _TAKE, "sh", *plan["command"]]
    os.execve(plan["bwrap"], line, {})  # noqa: S606 -- empty, for a sandbox's first process shows its own environment


def _close_all_but(kept: int) -> None:
    """An event loop may have left us more descriptors than it meant to."""
    os.closerange(3, kept)
    os.closerange(kept + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _arrange(descriptors: Mapping[int, int]) -> None:
    """Put descriptors where they are wanted, and nothing of value below 3.

    The sandbox's first process is bubblewrap's own, keeps those, and is within the agent's reach: what is written to
    its stdout would pass for the harness's.
    """
    aside = {wanted: fcntl.fcntl(descriptor, fcntl.F_DUPFD, _ASIDE) for wanted, descriptor in descriptors.items()}
    for wanted, descriptor in aside.items():
        os.dup2(descriptor, wanted)
        os.close(descriptor)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.dup2(_INFO, 2)  # its complaints are for us


def _leave_keyring() -> None:
    """Begin a session of keys of its own; where that cannot be, there are none, or the filter refuses their use."""
    if number := _KEYCTL.get(os.uname().machine):
        _LIBC.syscall(number, _JOIN_SESSION_KEYRING, None)


def _bind(*, writable: bool) -> str:
    return "--bind" if writable else "--ro-bind"


def _stage(binds: Binds, overlay: Mapping[str, Sequence[str]] | None) -> Binds:
    """Mount everything below one folder that any user may enter, wherever it is; return the binds from there."""
    if _LIBC.unshare(_CLONE_NEWNS):
        _fail("a mount namespace of its own")
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    # Opened before the folder is covered: they may lie below it. The names of descriptors are short, and plain.
    sources = [_open(source) for source, _, _ in binds]
    layers = {name: [_open(path) for path in paths] for name, paths in (overlay or {}).items()}
    _mount("tmpfs", STAGE, "tmpfs", 0, "mode=755")
    if layers:
        os.mkdir(TREE)
        options = ",".join(f"{name}={':'.join(_path(each) for each in paths)}" for name, paths in layers.items())
        _mount("overlay", TREE, "overlay", 0, f"{options},redirect_dir=on,index=off,metacopy=off")
    staged: list[tuple[str, str, bool]] = []
    for number, (source, (_, target, writable)) in enumerate(zip(sources, binds, strict=True)):
        place = f"{STAGE}/{number}"
        _ = os.mkdir(place) if os.path.isdir(_path(source)) else _write(place, "")
        _mount(_path(source), place, "", _MS_BIND | _MS_REC)
        staged.append((place, target, writable))
    return staged


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _open(path: str) -> int:
    return os.open(path, os.O_PATH)


def _path(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def _become(user: int) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _limit(limits: Mapping[str, int], room_for: int | None) -> None:
    for name, most in {**limits, "CORE": 0}.items():
        _set_limit(name, most)
    if room_for is not None:  # counted over all that this user runs, so what runs already comes on top
        _set_limit("NPROC", _threads_of(os.getuid()) + room_for)


def _set_limit(name: str, most: int) -> None:
    kind: int = getattr(resource, f"RLIMIT_{name}")
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def _threads_of(user: int) -> int:
    count = 0
    for process in os.scandir("/proc"):
        try:
            if process.name.isdigit() and process.stat().st_uid == user:
                count += len(os.listdir(f"{process.path}/task"))
        except OSError:  # it is gone
            continue
    return count


def _in_memory(content: bytes) -> int:
    """A file without a name that has this."""
    file = os.memfd_create("told", 0)
    with open(file, "wb", closefd=False) as writer:
        writer.write(content)
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    names = [each.encode() for each in (source, target, kind)]
    if _LIBC.mount(*names, ctypes.c_ulong(flags), options.encode()):
        _fail(f"{kind or 'bind'} at {target}")


def _fail(what: str) -> None:
    error = ctypes.get_errno()
    raise OSError(error, f"{os.strerror(error)}: {what}")


if __name__ == "__main__":
    try:
        main()
    except OSError as problem:
        sys.exit(f"the sandbox cannot be made: {problem.strerror}: {problem.filename or ''}".rstrip(": "))
