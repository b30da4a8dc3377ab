"""aimock, a fake provider that others wrote: what works with both it and ours does not live on a habit of either.

A program for Node, got by npm once, run as a process of its own. It plays the same scripts with some things missing:
cached tokens, text beside calls, and, for Responses, more than one call in a turn.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from tests.providers.script import TOKENS, Answer, Conversation, Script, Tokens, answer

_VERSION = "1.43.0"
_SHA512 = "V8D8cjSMtAR4rHaD2ulp3DR/ZguXQjDNOqwKDNvjb/OJL/KR1I0SDf5xpRCd+TYKjhmf9fM8Xpg3QBKPmV9Kmw=="
_CACHE = Path(__file__).parents[2] / ".cache"
_LIMIT_S = 60.0

_TOOLS: Sequence[Sequence[str]] = (["Bash"], ["exec_command"], ["shell"], ["run", "submit"], ["submit"], [])
"""What agents offer, as far as scripts depend on it; the first tool tells which agent it is."""

_THOUGHT = "Let me see."
"""Before a call without a thought: a caller that asked for thinking would be told that its conversation lacks it."""


class AimockMissingError(Exception):
    """It cannot be had on this machine."""


class Aimock(msgspec.Struct, frozen=True, kw_only=True):
    """A running one."""

    port: int
    key: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def aimock(script: Script, *, key: str = "fake-key", tokens: Tokens = TOKENS) -> Generator[Aimock]:
    """Serve a script.

    Raises:
        AimockMissingError: Node or npm is missing, or npm cannot get the package.
        RuntimeError: it does not start.

    """
    program = _install()
    with TemporaryDirectory(prefix="aimock-") as folder:
        fixtures, log = Path(folder, "fixtures.json"), Path(folder, "log")
        fixtures.write_bytes(msgspec.json.encode({"fixtures": list(_fixtures(script, tokens))}))
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["node", program, "--port=0", f"--fixtures={fixtures}", "--strict", "--validate-on-load"],
                env={**os.environ, "AIMOCK_API_KEYS": key},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            yield Aimock(port=_port(process, log), key=key)
        finally:
            process.kill()
            process.wait()


def _install() -> Path:
    """Return the program, got by npm unless it has been before."""
    if missing := [name for name in ("node", "npm") if not shutil.which(name)]:
        raise AimockMissingError(f"aimock needs {' and '.join(missing)}")
    home = _CACHE / f"aimock-{_VERSION}"
    if not home.exists():
        _CACHE.mkdir(exist_ok=True)
        with TemporaryDirectory(dir=_CACHE) as folder:
            package = _download(Path(folder))
            subprocess.run(["tar", "-xzf", package, "-C", folder], check=True)
            _keep(Path(folder, "package"), home)
    return home / "dist/cli.js"


def _download(folder: Path) -> Path:
    name = f"@copilotkit/aimock@{_VERSION}"
    command = ["npm", "pack", name, f"--pack-destination={folder}"]
    packed = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if packed.returncode:
        raise AimockMissingError(f"npm cannot get {name}: {packed.stderr.strip()}")
    package = next(folder.glob("*.tgz"))
    if base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode() != _SHA512:
        raise RuntimeError(f"what npm got as {name} is something else, by its SHA-512")
    return package


def _keep(package: Path, home: Path) -> None:
    try:
        package.rename(home)
    except OSError:
        if not home.exists():  # where it does, another process was faster
            raise


def _fixtures(script: Script, tokens: Tokens) -> Iterator[dict[str, Any]]:
    """Say what to answer, by the number of the turn and by the agent; the later of those that fit has its way."""
    for number in range(len(script)):
        for tools in _TOOLS:
            conversation = Conversation(model="", answered=number, tools=tools, stream=False)
            match: dict[str, Any] = {"turnIndex": number}
            if tools:
                match["toolName"] = tools[0]
            said = answer(script, conversation, tokens)
            if said.text or said.calls:
                yield {"match": match, "response": _response(said)}


def _response(said: Answer) -> dict[str, Any]:
    given = said.tokens.input + said.tokens.cache_read + said.tokens.cache_write
    response: dict[str, Any] = {"usage": {"input_tokens": given, "output_tokens": said.tokens.output}}
    if said.thinking or said.calls:
        response["reasoning"] = said.thinking or _THOUGHT
    if said.is_cut_short:
        response["finishReason"] = "length"
    if said.calls:
        return {**response, "toolCalls": [{"name": call.tool, "arguments": call.arguments} for call in said.calls]}
    return {**response, "content": said.text}


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Wait until it has said where it listens."""
    end = time.monotonic() + _LIMIT_S
    while process.poll() is None and time.monotonic() < end:
        if said := re.search(r"listening on http://127\.0\.0\.1:(\d+)\n", log.read_text()):
            return int(said[1])
        time.sleep(0.01)
    raise RuntimeError(f"aimock does not start: {log.read_text().strip() or 'it says nothing'}")
