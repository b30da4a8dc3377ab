"""An engine without containers, for tests: real git, and the real harness as processes on this machine.

What an engine does to a run when it misbehaves, it does on demand: it is `down`, it is lost in mid-run, it withholds
lines of the live output.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
from anyio import to_thread
from msgspec import structs

import aideator.variation
from service.engine import Capabilities, Ended, Health, Line, Prepared, Producer, SandboxSpec, Serving, Task
from service.errors import EngineError, EngineLostError, PatchError, PrepareError
from service.frames import now
from tests.child_gateway import ChildGateway

_ROOT = Path(__file__).parents[1]
_HARNESS = [sys.executable, "-P", "-m", "agent_image"]
_GIT_ENVIRON = {
    "PATH": os.environ["PATH"],
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
}
_GIT_OPTIONS = "-c core.hooksPath=/dev/null -c core.fsmonitor=false -c core.autocrlf=false -c advice.detachedHead=false"
_KILLED = 128
_TIMED_OUT = 124
_GONE_S = 10.0


class ProcessEngine:
    """Keeps each sandbox below `folder` while it is open."""

    capabilities = Capabilities(
        name="process",
        foreign_images=False,
        patch_after_cancel=False,
        refuses_git_redirects=False,
        leaves_out_submodules=True,
    )

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sandboxes: set[ProcessSandbox] = set()
        self.down = False
        """True: does not answer, and opens nothing."""
        self.drop_lines: set[int] = set()
        """Which lines of each producer, counted from 1, are missing in the live output."""

    async def health(self) -> Health:
        return Health(ok=not self.down, detail="it is down" if self.down else "processes on this machine")

    async def lose(self) -> None:
        """Die, as an engine does, with everything that runs on it; what is opened after that works again."""
        for sandbox in self._sandboxes:
            await sandbox.lose()

    def kill_gateways(self) -> None:
        """End the gateways of all runs, though nobody asked."""
        for sandbox in self._sandboxes:
            sandbox.kill_gateway()

    @asynccontextmanager
    async def open(self, spec: SandboxSpec) -> AsyncGenerator["ProcessSandbox"]:
        if self.down:
            raise EngineLostError("it is down")
        with TemporaryDirectory(dir=self._folder) as folder:
            sandbox = ProcessSandbox(spec, Path(folder), self.drop_lines)
            self._sandboxes.add(sandbox)
            try:
                yield sandbox
            finally:
                with anyio.CancelScope(shield=True):
                    await sandbox.end()
                self._sandboxes.remove(sandbox)


class ProcessSandbox:
    """folder/base: the clone, untouched · workspace: the same after setup · 0, 1, …: the variations' trees."""

    def __init__(self, spec: SandboxSpec, folder: Path, drop_lines: set[int]) -> None:
        self._spec = spec
        self._folder = folder
        self._drop_lines = drop_lines
        self._printed: dict[Producer, list[bytes]] = {}
        self._killed: set[int] = set()
        self._is_lost = False
        self._gateway: ChildGateway | None = None

    async def relay(self) -> AsyncGenerator[Line | Serving]:
        assert self._spec.models is not None
        async with ChildGateway(self._spec.models, self._folder).running() as gateway:
            self._gateway = gateway
            yield Serving()
            async for line in gateway.lines():
                yield Line("gateway", line, now())
        if not gateway.was_told_to_end:
            raise EngineError("gateway.failed", "it ended")

    def kill_gateway(self) -> None:
        if self._gateway is not None:
            self._gateway.kill()

    async def end_relay(self) -> None:
        if self._gateway is not None:
            self._gateway.end()

    async def prepare(self) -> AsyncGenerator[Line | Prepared]:
        commit = await to_thread.run_sync(self._clone, abandon_on_cancel=True)
        await self._copy("base", "workspace")
        if self._spec.setup:
            setup = [f"--setup={command}" for command in self._spec.setup]
            arguments = [f"--timeout={self._spec.setup_timeout_s:g}", *setup]
            async with aclosing(self._run("setup", "workspace", arguments, {})) as items:
                async for item in items:
                    if isinstance(item, Ended):
                        _check_setup(item.exit)
                    else:
                        yield item
        yield Prepared(commit)

    async def vary(self, index: int, task: Task) -> AsyncGenerator[Line | Ended]:
        tree = str(index)
        await self._copy("workspace", tree)
        fields: dict[str, Any] = structs.asdict(task)
        fields["wire"] = task.wire or ""
        asked = aideator.variation.Task(run_id=str(self._spec.run_id), index=index, **fields)
        environ = {"VARIATION_ID": tree}
        if self._gateway is not None:
            environ |= self._gateway.environ(index)
        try:
            async with aclosing(self._run(index, tree, aideator.variation.arguments(asked), environ)) as items:
                async for item in items:
                    if isinstance(item, Ended) and item.exit >= _KILLED:
                        self._killed.add(index)
                    yield item
        finally:
            if self._gateway is not None:
                with anyio.CancelScope(shield=True):
                    await self._gateway.retire(index)

    async def final_output(self, producer: Producer) -> list[bytes]:
        if producer == "gateway":
            return [] if self._gateway is None else await self._gateway.ledger()
        return self._printed.get(producer, [])

    async def patch(self, index: int) -> bytes:
        if self._is_lost:
            raise EngineLostError("it is lost")
        if index in self._killed:
            raise PatchError("the harness was killed")
        return await to_thread.run_sync(self._make_patch, self._folder / str(index))

    async def lose(self) -> None:
        self._is_lost = True
        await self.end()

    async def end(self) -> None:
        """Kill what runs, and return when it is gone."""
        await self._kill(f"RUN_ID={self._spec.run_id}")

    async def _run(
        self, producer: Producer, tree: str, arguments: Sequence[str], environ: dict[str, str]
    ) -> AsyncGenerator[Line | Ended]:
        """Run the harness in `tree`; leaving this kills it and all that it started."""
        mark = f"AIDEATOR_TEST={self._spec.run_id}/{producer}"
        environ |= {"RUN_ID": str(self._spec.run_id), "PATH": os.environ["PATH"], "HOME": str(self._folder)}
        name, _, value = mark.partition("=")
        process = await anyio.open_process(
            [*_HARNESS, f"--result={self._folder}/{producer}.json", *arguments],
            cwd=self._folder / tree,
            env={**environ, "PYTHONPATH": str(_ROOT), name: value},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        printed = self._printed[producer] = []
        try:
            assert process.stdout is not None
            rest = b""
            async for chunk in process.stdout:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    printed.append(line)
                    if len(printed) not in self._drop_lines:
                        yield Line(producer, line, now())
            if rest:  # half a line, of a harness that was killed
                yield Line(producer, rest, now())
            exit_status = await process.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await self._kill(mark)
                await process.aclose()
        if self._is_lost:
            raise EngineLostError("it is lost")
        yield Ended(exit_status if exit_status >= 0 else _KILLED - exit_status)

    async def _kill(self, mark: str) -> None:
        """Kill whoever has this mark in its environment, which is inherited, until there is nobody."""
        with anyio.fail_after(_GONE_S):
            while pids := marked(mark):
                for pid in pids:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                await anyio.sleep(0.005)

    async def _copy(self, tree: str, to: str) -> None:
        await anyio.run_process(["cp", "-a", str(self._folder / tree), str(self._folder / to)])

    def _clone(self) -> str:
        url, base = str(self._spec.repo_url), self._folder / "base"
        commit = self._resolve(url)
        _git("init", "--quiet", str(base))
        self._remote("-C", str(base), "fetch", "--quiet", "--depth=1", url, commit)
        _git("-C", str(base), "checkout", "--quiet", commit)
        return commit

    def _resolve(self, url: str) -> str:
        """The commit that the ref is now; a ref that the remote does not list may be the name of a commit."""
        rows = [line.split("\t") for line in self._remote("ls-remote", "--", url).decode().splitlines()]
        refs = {name: commit for commit, name in rows}
        if not refs:
            raise PrepareError("clone.empty", "the repository has no commit")
        ref = self._spec.ref
        for name in [f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}"] if ref else ["HEAD"]:
            if name in refs:
                return refs[name]
        if len(ref) == 40 and set(ref) <= set("0123456789abcdef"):
            return ref
        raise PrepareError("clone.ref", f"there is no {ref}")

    def _remote(self, *arguments: str) -> bytes:
        try:
            return _git(*arguments, timeout_s=self._spec.clone_timeout_s)
        except subprocess.TimeoutExpired as error:
            raise PrepareError("clone.timeout", "it takes too long") from error
        except subprocess.CalledProcessError as error:
            said = str(error.stderr, errors="replace").strip()
            signs = {"Connection refused": "refused", "not exported": "not_found", "not our ref": "ref"}
            code = next((code for sign, code in signs.items() if sign in said), "failed")
            raise PrepareError(f"clone.{code}", said) from error

    def _make_patch(self, tree: Path) -> bytes:
        """As the pipeline makes it: git reads the base's own git directory, never one that an agent could write."""
        base, index = self._folder / "base", tree.with_suffix(".index")
        for found in sorted(path for path in tree.rglob("*") if path.name.lower() == ".git"):
            if found.is_dir() and not found.is_symlink():
                shutil.rmtree(found)
            else:
                found.unlink(missing_ok=True)
        git = [f"--git-dir={base}/.git", f"--work-tree={tree}", *_GIT_OPTIONS.split()]
        environ = {"GIT_INDEX_FILE": str(index)}
        _git(*git, "read-tree", "HEAD", environ=environ)
        _git(*git, "add", "--all", ".", environ=environ, cwd=tree)
        options = ["--cached", "--binary", "--full-index", "--find-renames", "--no-ext-diff", "--no-textconv"]
        return _git(*git, "diff", *options, "--no-color", "HEAD", environ=environ, cwd=tree)


def marked(mark: str) -> list[int]:
    """The ids of living processes that have the variable `mark` (`NAME=value`) in their environment."""
    return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit() and _has(folder, mark)]


def _has(process: Path, mark: str) -> bool:
    with suppress(OSError):  # it is gone
        return mark.encode() in (process / "environ").read_bytes().split(b"\0")  # empty for one that is dead
    return False


def _check_setup(exit_status: int) -> None:
    if exit_status == _TIMED_OUT:
        raise PrepareError("setup.timeout", "the setup commands took too long")
    if exit_status != 0:
        raise PrepareError("setup.failed", "a setup command failed")


def _git(
    *arguments: str, environ: dict[str, str] | None = None, cwd: Path | None = None, timeout_s: float | None = None
) -> bytes:
    return subprocess.run(
        ["git", *arguments],
        env={**_GIT_ENVIRON, **(environ or {})},
        cwd=cwd,
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout_s,
    ).stdout
