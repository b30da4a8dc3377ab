"""What runs containers, behind one protocol: the executor knows nothing else of them.

    async with engine.open(spec) as sandbox:
        async for item in sandbox.relay():         Serving, then Line …, beside all that follows
        async for item in sandbox.prepare():       Line …, then Prepared
        async for item in sandbox.vary(0, task):   Line …, then Ended
        await sandbox.patch(0)

Stopping is by cancelling: whoever iterates is cancelled, or leaves the iterator, and the container behind it is killed.
Leaving the `async with` ends everything that runs in the sandbox; nothing of it is alive afterwards.
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable
from uuid import UUID

from msgspec import Struct

from agent_image.gateway.plan import Plan, Wire
from service.repo_url import RepoUrl
from service.run import Agent

Producer = Literal["setup", "gateway"] | int
"""Who printed a line: the setup commands, the gateway, or a variation by its number."""


class Line(Struct, frozen=True):
    """One line of a container's output, without its newline, as it came."""

    producer: Producer
    data: bytes
    time: datetime


class Prepared(Struct, frozen=True):
    """The workspace is ready; `commit` is what the ref was, in full."""

    commit: str


class Ended(Struct, frozen=True):
    """A variation's container has ended; `exit` is the harness's status, 128 + N if signal N killed it."""

    exit: int
    code: str = ""
    """Why it was no success, if it was none, where the engine knows better than the harness."""
    detail: str = ""
    """The same for people."""


class Serving(Struct, frozen=True):
    """The gateway answers."""


class Models(Struct, frozen=True, kw_only=True):
    """What the gateway of a run is given. The tokens are for the variations, the keys for nobody else."""

    plan: Plan
    keys: dict[str, str]
    """The providers' keys, by the variables that the plan names."""

    def __repr__(self) -> str:
        return f"Models(providers={[provider.name for provider in self.plan.providers]})"


class SandboxSpec(Struct, frozen=True, kw_only=True):
    """What the variations of a run share."""

    run_id: UUID
    repo_url: RepoUrl
    ref: str
    setup: list[str]
    image: str
    """Empty for an engine without `foreign_images`."""
    clone_timeout_s: float
    setup_timeout_s: float
    models: Models | None = None
    """None for a run that asks none: it has no gateway."""


class Task(Struct, frozen=True, kw_only=True):
    """What one variation is asked to do."""

    prompt: str
    agent: Agent
    model: str
    """As its provider knows it, `scripted`, or nothing."""
    command: str
    timeout_s: float
    wire: Wire | None = None
    """What the model's provider speaks; None for a model without one."""
    temperature: float | None = None
    mcp: str = ""
    """MCP servers, as JSON."""


class Sandbox(Protocol):
    """One run's containers."""

    def relay(self) -> AsyncGenerator[Line | Serving]:
        """Run the gateway; yields `Serving` once variations can ask it, and what it prints until `end_relay`.

        Leaving it ends the gateway. It is running before a variation that asks models begins, and a variation's token
        is retired when that ends.

        Raises:
            EngineError: it cannot be started, or ended though nobody asked.
            EngineLostError: the engine went away.

        """
        ...

    async def end_relay(self) -> None:
        """End the gateway; `relay` yields what is left, and ends."""
        ...

    def prepare(self) -> AsyncGenerator[Line | Prepared]:
        """Make the workspace; yields what the setup commands print, then `Prepared`.

        Raises:
            PrepareError: clone, image or setup failed; the code says which and how.
            EngineLostError: the engine went away.

        """
        ...

    def vary(self, index: int, task: Task) -> AsyncGenerator[Line | Ended]:
        """Let an agent work in a container of its own; yields what it prints, as it prints it, then `Ended`.

        Raises:
            EngineLostError: the engine went away, and with it the end of this variation.

        """
        ...

    async def end_agents(self) -> None:
        """Ask the agents at work to end: each yields its `Ended` soon, and leaves a patch of what it made so far.

        Only where the engine can, by `patch_after_cancel`; elsewhere nothing happens.
        """
        ...

    async def final_output(self, producer: Producer) -> list[bytes]:
        """Everything that a producer printed, in lines, once it has ended: for what the live lines lack.

        The gateway's, which are its ledger, can be had for as long as it runs.
        """
        ...

    async def patch(self, index: int) -> bytes:
        """Return the complete difference between a variation's tree and the base commit.

        Raises:
            PatchError: there is no tree, or its patch cannot be made.
            EngineLostError: the engine went away.

        """
        ...


class Capabilities(Struct, frozen=True, kw_only=True):
    """What an engine can and cannot do; shown in `/health` and in the documentation."""

    name: str
    foreign_images: bool
    """Runs any image, not only this machine's system; where it is false, a request that names one is refused."""
    patch_after_cancel: bool
    """An agent that is cancelled gets some seconds to end, and leaves a patch of what it made so far."""
    refuses_git_redirects: bool
    """A repository's server cannot send the clone elsewhere."""
    leaves_out_submodules: bool
    """What a repository names as its submodules is not fetched, wherever that may be."""
    setup_network: bool
    """Setup commands reach the network."""
    agent_network: bool
    """Agents, and what they run, reach the network; models they reach in any case."""


ANYTHING = Capabilities(
    name="any",
    foreign_images=True,
    patch_after_cancel=True,
    refuses_git_redirects=True,
    leaves_out_submodules=True,
    setup_network=True,
    agent_network=True,
)
"""Those of no engine: what is refused in spite of them is refused everywhere."""


class Health(Struct, frozen=True):
    """Whether an engine answers; `detail` says what it is, or what is wrong and what to do."""

    ok: bool
    detail: str


@runtime_checkable  # Litestar checks what it injects
class Engine(Protocol):
    @property
    def capabilities(self) -> Capabilities: ...

    async def health(self) -> Health:
        """Ask the engine for a sign of life; never raises, and answers within seconds."""
        ...

    def open(self, spec: SandboxSpec) -> AbstractAsyncContextManager[Sandbox]:
        """Open a sandbox. `EngineLostError` where the engine does not answer."""
        ...
