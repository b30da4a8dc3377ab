"""The command `aideator`."""

import os
import signal
from importlib import import_module


def _leave(*_: object) -> None:
    os._exit(130)


# Until a command heeds Ctrl-C there is nothing to end but what loads, and that is no place for a traceback.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _leave)

import click  # noqa: E402 -- this takes its time, too

_COMMANDS = {"demo": "service.demo.command", "run": "service.terminal.command", "serve": "service.serve"}
"""Modules that have a `command`."""


class _Commands(click.Group):
    """Loads a command when it is wanted, for together they take seconds."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- click's
        module = _COMMANDS.get(cmd_name)
        return import_module(module).command if module else None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """N coding agents work on one git repository at once; watch them live, and take a patch from each.

    Settings are environment variables, or lines of a file: .env in the working directory for
    serve and demo, what --env-file names for run. .env.example has them all.
    """
