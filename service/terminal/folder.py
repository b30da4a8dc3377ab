"""git in a folder that somebody else may have written: nothing that is in it is run, whatever its settings say."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from service.errors import EngineUnavailableError, InvalidError
from service.git_server import NO_FETCHING
from service.install import how_to_install

_LIMIT_S = 10.0
_OF_ANOTHER = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY"}
"""Variables that a git hook has set for the repository that it belongs to."""
_QUIET = {"core.fsmonitor": "false", "core.hooksPath": os.devnull, "core.untrackedCache": "false"}
_STATUS = ("status", "--porcelain", "--no-renames", "--ignore-submodules=all")


def git_folder(named: str) -> Path:
    """The git folder of the repository that a folder is in, or is: whose settings do not say where its work is.

    Raises:
        InvalidError: there is none, or git does not trust its owner, or does not come to an end.
        EngineUnavailableError: there is no git.

    """
    found = _git(named, "rev-parse", "--absolute-git-dir")
    if found.returncode:
        said = found.stderr.decode(errors="replace").strip().removeprefix("fatal: ").partition("\n")[0]
        if "dubious ownership" in said:
            said += f"; if you trust it: git config --global --add safe.directory {Path(named).absolute()}"
        raise InvalidError("repo_url.path", "--repo", f"{named}: {said}")
    return Path(os.fsdecode(found.stdout.removesuffix(b"\n")))


def count_uncommitted(named: str) -> int:
    """How many files of the work tree are not as they were committed; 0 where there is none, or git cannot say."""
    settings = dict(_QUIET)
    filters = _git(named, "config", "--null", "--name-only", "--get-regexp", r"^filter\.")
    # A filter is a command. An empty one is none, and what git is told by its environment goes before what it reads.
    for name in filters.stdout.split(b"\0"):
        if name.endswith((b".clean", b".smudge", b".process")):
            settings[os.fsdecode(name)] = ""
        elif name.endswith(b".required"):
            settings[os.fsdecode(name)] = "false"
    try:
        changed = _git(named, *_STATUS, settings=settings)
    except InvalidError:  # so many files that it takes too long
        return 0
    return 0 if changed.returncode else changed.stdout.count(b"\n")


def _git(folder: str, *arguments: str, settings: Mapping[str, str] = _QUIET) -> subprocess.CompletedProcess[bytes]:
    environ = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER}
    environ |= {**NO_FETCHING, "GIT_OPTIONAL_LOCKS": "0", "GIT_CONFIG_COUNT": str(len(settings)), "LC_ALL": "C.UTF-8"}
    for number, (name, value) in enumerate(settings.items()):
        environ |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    command = ["git", "-C", folder, *arguments]
    try:
        return subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_LIMIT_S
        )
    except FileNotFoundError as error:
        raise EngineUnavailableError(f"git is not installed: {how_to_install('git')}") from error
    except subprocess.TimeoutExpired as error:
        raise InvalidError("repo_url.path", "--repo", f"{folder}: git does not come to an end there") from error
