"""The tools of the built-in agent: their arguments are structs, and their schemas come from those."""

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta

from agent_image.excerpt import LONGEST, shortened
from agent_image.model import ToolAnswer, ToolCall
from agent_image.shell import Shell
from agent_image.workspace import Workspace, WorkspaceError

_Path = Annotated[str, Meta(description="relative to the workspace, or absolute and inside it", max_length=4096)]


class Run(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Run a shell command in the workspace and get its exit status and output; a long output loses its middle."""

    command: Annotated[str, Meta(description="for `sh -c`; it has nothing to read")]
    timeout_s: Annotated[float, Meta(gt=0, description="kills the command and all it started")] | None = None


class Read(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Read a text file of the workspace."""

    path: _Path
    offset: Annotated[int, Meta(ge=1, description="the first line to show, from 1")] = 1
    limit: Annotated[int, Meta(ge=1, description="how many lines to show")] = 2000


class Write(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Write a file of the workspace, whole; directories are made where missing."""

    path: _Path
    content: str


class Edit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Replace a text in a file of the workspace that occurs there exactly once."""

    path: _Path
    old: Annotated[str, Meta(min_length=1, description="as it stands in the file, long enough to be unique")]
    new: str


class Submit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Say that the work is done; what is in the workspace is what is handed in."""

    summary: Annotated[str, Meta(description="what was done, for people")] = ""


Arguments = Run | Read | Write | Edit | Submit

_ARGUMENTS: dict[str, type[Arguments]] = {"run": Run, "read": Read, "write": Write, "edit": Edit, "submit": Submit}


class Tool(msgspec.Struct, frozen=True):
    """A tool as providers want it described."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON schema of its arguments."""


TOOLS = tuple(
    Tool(name, kind.__doc__ or "", msgspec.json.schema(kind)["$defs"][kind.__name__])
    for name, kind in _ARGUMENTS.items()
)


class Toolbox(Protocol):
    @property
    def tools(self) -> Sequence[Tool]: ...

    @property
    def may_print(self) -> bool:
        """False once the commands have printed all that they may: what they do now, nobody sees."""
        ...

    async def use(self, call: ToolCall) -> ToolAnswer:
        """Do what a model asks for. Whatever is wrong with the call is told to the model, in the answer."""
        ...


class ToolError(Exception):
    """A call that cannot be done; the message is for the model, which may try another way."""


class RepositoryTools:
    """The toolbox of one workspace."""

    tools = TOOLS

    def __init__(self, workspace: Workspace, shell: Shell) -> None:
        self._workspace = workspace
        self._shell = shell

    @property
    def may_print(self) -> bool:
        return self._shell.may_print

    async def use(self, call: ToolCall) -> ToolAnswer:
        try:
            arguments = _read_arguments(call)
            if isinstance(arguments, Run):
                return await self._run(call.id, arguments)
            text = "submitted" if isinstance(arguments, Submit) else use_files(self._workspace, arguments)
        except (ToolError, WorkspaceError, OSError) as error:
            return ToolAnswer(call=call.id, ok=False, text=shortened(f"error: {error}"))
        return ToolAnswer(call=call.id, ok=True, text=text, submits=isinstance(arguments, Submit))

    async def _run(self, call: str, arguments: Run) -> ToolAnswer:
        if "\0" in arguments.command:
            raise ToolError("a command has no NUL")
        ended = await self._shell.run(arguments.command, timeout_s=arguments.timeout_s)
        text = shortened(f"the command {ended}\n{ended.seen}")
        return ToolAnswer(call=call, ok=ended.status == 0 and not ended.timed_out, text=text)


def use_files(workspace: Workspace, arguments: Read | Write | Edit) -> str:
    """Do it, and return what the model is told of it.

    Raises:
        ToolError: the text to replace is not there exactly once.
        WorkspaceError: the file may not be touched, or cannot be.
        OSError: it cannot be written.

    """
    match arguments:
        case Read():
            return _lines(workspace.read(arguments.path), arguments)
        case Write():
            content = arguments.content.encode()
            workspace.write(arguments.path, content)
            return f"wrote {len(content)} bytes to {arguments.path}"
        case Edit():
            content = workspace.read(arguments.path)
            workspace.write(arguments.path, _edited(content, arguments))
            return f"edited {arguments.path}"


def _read_arguments(call: ToolCall) -> Arguments:
    kind = _ARGUMENTS.get(call.tool)
    if kind is None:
        raise ToolError(f"there is no tool {call.tool!r}; there are: {', '.join(_ARGUMENTS)}")
    try:
        return msgspec.json.decode(call.arguments, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ToolError(f"bad arguments for {call.tool}: {error}") from error


def _lines(content: bytes, arguments: Read) -> str:
    """Return the lines that were asked for, and how to see the others if there are any."""
    lines = content.decode(errors="replace").splitlines(keepends=True)
    first, last = arguments.offset - 1, arguments.offset - 1 + arguments.limit
    text = "".join(lines[first:last])
    if len(text) > LONGEST or first > 0 or last < len(lines):
        text = f"[lines {arguments.offset} to {min(last, len(lines))} of {len(lines)}]\n{text}"
    return shortened(text)


def _edited(content: bytes, arguments: Edit) -> bytes:
    old = arguments.old.encode()
    at = content.find(old)
    if at < 0:
        raise ToolError(f"the text to replace is not in {arguments.path}")
    if content.find(old, at + 1) >= 0:
        raise ToolError(f"the text to replace is in {arguments.path} more than once; make it longer")
    return content[:at] + arguments.new.encode() + content[at + len(old) :]
