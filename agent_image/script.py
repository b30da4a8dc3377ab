"""Written turns for the `scripted` model: `.aideator/scripts/<variation>.json` of the repository."""

import os
from typing import Annotated

import msgspec
from msgspec import Meta

from agent_image.model import ModelError
from agent_image.workspace import Workspace, WorkspaceError


class ScriptedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tool: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class ScriptedTurn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    said: str = ""
    calls: tuple[ScriptedCall, ...] = ()
    delay_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    """How long the model seems to think."""


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    turns: tuple[ScriptedTurn, ...]

    def turn(self, number: int) -> ScriptedTurn:
        if number >= len(self.turns):
            raise ModelError("the script ended without submit")
        return self.turns[number]


def read_script(workspace: Workspace, variation: int) -> Script | None:
    """Return a variation's script, or None if the repository has none.

    Raises:
        ModelError: it is there and cannot be played.

    """
    path = f".aideator/scripts/{variation}.json"
    if not os.path.lexists(workspace.directory / path):
        return None
    try:
        return msgspec.json.decode(workspace.read(path), type=Script)
    except (WorkspaceError, msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ModelError(f"the script {path} cannot be played: {error}") from error
