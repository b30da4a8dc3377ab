"""Which calls of the kernel a sandbox is refused: what no namespace divides, and what agents have no use for.

A program for the kernel's filter of system calls, see `man 2 seccomp`, and linux/bpf_common.h for its instructions.
"""

import errno
import platform
import socket
import struct
from collections.abc import Iterator

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16
"""Where in what the kernel shows of a call these stand."""
_X32 = 0x40000000
"""From here on the numbers are those of another set of calls, on the same machine."""

_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SOCKET = {"x86_64": 41, "aarch64": 198}
_REFUSED = {
    # add_key, request_key, keyctl: keys of the kernel's belong to a user, or to a session of ours
    # bpf, perf_event_open, userfaultfd, io_uring_setup, io_uring_enter, io_uring_register: ways into the kernel
    "x86_64": (248, 249, 250, 321, 298, 323, 425, 426, 427),
    "aarch64": (217, 218, 219, 280, 241, 282, 425, 426, 427),
}
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
"""Sockets of these are of a network namespace; of others, such as those to a machine's host, some are not."""


def system_call_filter() -> bytes:
    """The filter for this machine; empty for a kind of machine whose numbers are not known here."""
    machine = platform.machine()
    return b"".join(_instructions(machine)) if machine in _MACHINES else b""


def _instructions(machine: str) -> Iterator[bytes]:
    yield _instruction(_LOAD, _MACHINE)
    yield _instruction(_IF_EQUAL, _MACHINES[machine], yes=1)
    yield _instruction(_RETURN, _FAIL | errno.ENOSYS)
    yield _instruction(_LOAD, _NUMBER)
    yield _instruction(_IF_AT_LEAST, _X32, no=1)
    yield _instruction(_RETURN, _FAIL | errno.ENOSYS)
    for number in _REFUSED[machine]:
        yield _instruction(_IF_EQUAL, number, no=1)
        yield _instruction(_RETURN, _FAIL | errno.EPERM)
    yield _instruction(_IF_EQUAL, _SOCKET[machine], yes=1)
    yield _instruction(_RETURN, _ALLOW)
    yield _instruction(_LOAD, _FIRST_ARGUMENT)
    for family in _FAMILIES:
        yield _instruction(_IF_EQUAL, family, no=1)
        yield _instruction(_RETURN, _ALLOW)
    yield _instruction(_RETURN, _FAIL | errno.EAFNOSUPPORT)


def _instruction(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """One step; `yes` and `no` are how many of the next are left out after a question."""
    return struct.pack("=HBBI", code, yes, no, value)
