"""git on a repository whose configuration is not to be trusted: no command that it names is run."""

import os
from pathlib import Path
from subprocess import DEVNULL, STDOUT

import anyio

from agent_image.excerpt import Excerpt, shortened
from agent_image.tools import ToolError

_LIMIT_S = 30.0

# What would name a command, ask the configuration of a submodule, or have git do more than was asked.
_SETTINGS = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.pager": "cat",
    "core.quotePath": "false",
    "color.ui": "false",
    "column.ui": "never",
    "commit.gpgSign": "false",
    "diff.ignoreSubmodules": "dirty",
    "diff.submodule": "short",
    "gc.auto": "0",
    "log.showSignature": "false",
    "maintenance.auto": "false",
    "status.submoduleSummary": "false",
}
_VARIABLES = {
    "GIT_ALLOW_PROTOCOL": "",  # an object that is missing is not fetched
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
_FILTERS = ["--show-scope", "--null", "--name-only", "--get-regexp", r"^filter\..*\.(clean|smudge|process|required)$"]
_OWN_SCOPES = ("local", "worktree")
_NO_SUCH_SETTING = 1


class Git:
    """Works on the repository whose top is `directory`, whoever owns it, and on no other."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve(strict=True)
        paths = {"GIT_DIR": str(self.directory / ".git"), "GIT_WORK_TREE": str(self.directory)}
        self._environment = {**os.environ, **_VARIABLES, **paths}

    async def run(self, *arguments: str) -> str:
        """Return what git printed, its middle left out where it is long.

        Raises:
            ToolError: git is not there, failed or took too long; the message is what it printed.

        """
        settings = _SETTINGS | await self._without_filters()
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        status, printed = await self._run(*options, *arguments)
        if status != 0:
            raise ToolError(printed.strip() or f"git ended with status {status}")
        return printed or "git printed nothing"

    async def _without_filters(self) -> dict[str, str]:
        """Settings that turn off what the repository's own configuration has as filters; the machine's may run."""
        status, printed = await self._run("config", "--includes", *_FILTERS)
        if status == _NO_SUCH_SETTING:
            return {}
        if status != 0:
            raise ToolError(printed.strip())
        scopes_and_names = iter(printed.split("\0"))
        names = [name for scope, name in zip(scopes_and_names, scopes_and_names, strict=False) if scope in _OWN_SCOPES]
        if any("=" in name for name in names):  # which git would take for the end of the name
            raise ToolError("the repository's configuration has a filter that cannot be turned off")
        return {name: "false" if name.endswith(".required") else "" for name in names}

    async def _run(self, *arguments: str) -> tuple[int, str]:
        seen = Excerpt()
        command = ["git", *arguments]
        try:
            with anyio.fail_after(_LIMIT_S):
                process = await anyio.open_process(
                    command, stdin=DEVNULL, stderr=STDOUT, cwd=self.directory, env=self._environment
                )
                async with process:
                    assert process.stdout
                    async for chunk in process.stdout:
                        seen.feed(chunk)
        except TimeoutError:
            raise ToolError(f"git took more than {_LIMIT_S:g} s") from None
        except OSError as error:
            raise ToolError(f"git cannot be started: {error.strerror}") from error
        assert process.returncode is not None
        return process.returncode, shortened(str(seen))
