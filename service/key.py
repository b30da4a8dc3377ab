"""Where a key is kept: `env://NAME`, `file:///path` or `cmd://command line`; nothing here tells what it is.

A command is not run by a shell, but its line is split as a shell would; `cmd://sh -c '…'` asks for one.
"""

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import anyio

COMMAND_S = 30.0
"""Seconds that a command may take."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"[!-~]+")


class KeyMissingError(Exception):
    """There is no key where the reference says; the message is for people, and has nothing of what was there."""


def check_reference(reference: str) -> str:
    """Return `reference`, or raise `ValueError` if it is none."""
    scheme, _, rest = reference.partition("://")
    valid = {"env": _VARIABLE.fullmatch(rest), "file": rest.startswith("/"), "cmd": _words(rest)}.get(scheme)
    if not valid or "\0" in rest:
        raise ValueError("a key is env://NAME, file:///path or cmd://command line, and not written out")
    return reference


def missing(reference: str, environ: Mapping[str, str]) -> str:
    """Say why there can be no key, as far as that is known without running a command; empty if there may be one."""
    scheme, _, rest = reference.partition("://")
    if scheme == "env" and not environ.get(rest):
        return f"{rest} is not set"
    if scheme == "file" and not (Path(rest).is_file() and os.access(rest, os.R_OK)):
        return f"{rest} is no file that can be read"
    return ""


async def read_key(reference: str, environ: Mapping[str, str], *, limit_s: float = COMMAND_S) -> str:
    """Return the key, without the line break at its end.

    Raises:
        KeyMissingError: there is none, or what is there is not one word of printable ASCII.

    """
    if why := missing(reference, environ):
        raise KeyMissingError(why)
    scheme, _, rest = reference.partition("://")
    if scheme == "env":
        source, key = rest, environ[rest]
    elif scheme == "file":
        source, key = rest, await _read_file(rest)
    else:
        source, key = f"the command {_words(rest)[0]}", await _run(_words(rest), environ, limit_s)
    key = key.removesuffix("\n").removesuffix("\r")
    if not _KEY.fullmatch(key):
        raise KeyMissingError(f"what {source} gives is no key: a key is one word of printable ASCII")
    return key


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quotation without its end
        return []


async def _read_file(path: str) -> str:
    try:
        return await anyio.Path(path).read_text(errors="replace")
    except OSError as error:
        raise KeyMissingError(f"{path}: {error.strerror}") from error


async def _run(command: list[str], environ: Mapping[str, str], limit_s: float) -> str:
    try:
        with anyio.fail_after(limit_s):
            ended = await anyio.run_process(command, env=environ, check=False)
    except TimeoutError:
        raise KeyMissingError(f"the command {command[0]} took more than {limit_s:g} seconds") from None
    except OSError as error:
        raise KeyMissingError(f"the command {command[0]}: {error.strerror}") from error
    if ended.returncode:
        raise KeyMissingError(f"the command {command[0]} ended with status {ended.returncode}")
    return ended.stdout.decode(errors="replace")
