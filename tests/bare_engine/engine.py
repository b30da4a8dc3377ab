"""An engine's life: start, stop, kill."""

import fcntl
import json
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bare_engine.build import build_all
from tests.bare_engine.client import engine_answers
from tests.bare_engine.errors import BareEngineError
from tests.bare_engine.host import check_machine
from tests.bare_engine.images import PATH, proxies
from tests.bare_engine.instance import RUN, WORK, Instance
from tests.bare_engine.leftovers import MARK, clear_leftovers
from tests.bare_engine.registry import push_images, start_registry
from tests.bare_engine.sdk import fill_content, sdk_environment
from tests.bare_engine.step import say, timed

START_S, STOP_S = 60, 30

# The engine knows some places by their full path, and mounts over /etc/resolv.conf. In a mount namespace of its own,
# its places are folders of its instance, which the host sees too, and the host keeps its resolv.conf.
OWN_PLACES = """
while [ "$1" != -- ]; do
  mkdir -p "$1" "$2" && mount --bind "$1" "$2" && shift 2 || exit 1
done
shift
exec "$@"
"""


@dataclass(frozen=True)
class Running:
    """An engine that answers."""

    instance: Instance
    pid: int
    started: bool
    """False if it was running before it was asked for."""


def start(instance: Instance) -> Running:
    """Return `instance` once it answers, built, cleared of what a killed one left, and started as far as needed.

    Raises BareEngineError if this machine cannot have one, or the engine ends or is mute for a minute.
    """
    if instance.process.pid() is None:
        check_machine()
    with one_at_a_time():
        pid = instance.process.pid()
        if pid is not None:
            start_registry(instance)
            if engine_answers(instance):
                return Running(instance, pid, started=False)
            say(instance.name, "runs but does not answer, so it is stopped first")
            end(instance)
        return Running(instance, build_and_launch(instance), started=True)


def stop(instance: Instance) -> bool:
    """Stop the engine and remove what it leaves; False if it did not run."""
    with one_at_a_time():
        return end(instance)


def kill(instance: Instance) -> None:
    """Kill the engine's process and nothing else, as the kernel does when memory runs out."""
    instance.process.signal(signal.SIGKILL)
    if not instance.process.ended_within(STOP_S):
        raise BareEngineError(f"The engine {instance.name} survives SIGKILL; the kernel's log may say why.")


@contextmanager
def one_at_a_time() -> Generator[None]:
    """Let a second `make engine` wait for the first, in this checkout or another."""
    try:
        RUN.mkdir(parents=True, exist_ok=True)
        lock = (RUN / "lock").open("w")
    except PermissionError as error:
        raise BareEngineError("Only root may start and stop a bare engine.") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build_and_launch(instance: Instance) -> int:
    """Do all that an engine needs and return its process id once it answers."""
    build_all(instance.work, instance.stamps)
    start_registry(instance)
    push_images(instance)
    clear_leftovers(instance)
    with timed(instance.name, "start the engine and wait for its answer"):
        pid = launch(instance)
        wait_for_answer(instance)
    return pid


def end(instance: Instance) -> bool:
    ran = instance.process.signal(signal.SIGTERM)
    if ran and not instance.process.ended_within(STOP_S):
        say(instance.name, f"did not end within {STOP_S} s of SIGTERM, so it is killed")
        kill(instance)
    if instance.run.exists():
        clear_leftovers(instance)
    return ran


def launch(instance: Instance) -> int:
    """Start the engine in the background and return its process id."""
    write_configuration(instance)
    fill_content(instance.content, instance.work)
    temporary = instance.root / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    instance.process.log.unlink(missing_ok=True)
    bindings = [str(path) for pair in own_places(instance).items() for path in pair]
    command = ["unshare", "--mount", "--propagation=private", "/bin/sh", "-c", OWN_PLACES, "sh", *bindings, "--"]
    return instance.process.spawn(
        [*command, *engine_command(instance)],
        {
            "PATH": f"{WORK / 'bin'}:{PATH}",
            "HOME": "/root",
            "TMPDIR": str(temporary),
            "DO_NOT_TRACK": "1",
            MARK: instance.name,
            **proxies(),
            **sdk_environment(instance.work),
        },
    )


def own_places(instance: Instance) -> dict[Path, Path]:
    """Return which folder of the instance the engine finds at which path."""
    return {
        instance.work: WORK,
        instance.content: WORK / "content",
        instance.run / "etc": Path("/etc/dagger"),
        instance.run / "dagger": Path("/run/dagger"),
        instance.run / "buildkit": Path("/run/buildkit"),
        instance.runc_root: Path("/run/runc"),
    }


def engine_command(instance: Instance) -> list[str]:
    return [
        str(WORK / "bin" / "dagger-engine"),
        "--config=/etc/dagger/engine.toml",
        f"--root={instance.root}",
        f"--network-name={instance.network_name}",
        f"--network-cidr={instance.network_cidr}",
        f"--oci-cni-binary-dir={WORK / 'cni'}",
        # Networks made beforehand: with them, sixteen containers start as fast as one.
        "--oci-cni-pool-size=16",
    ]


def write_configuration(instance: Instance) -> None:
    """Write the engine's two files: one is Buildkit's, the other tells where the hub's images are."""
    hub = f"127.0.0.1:{instance.hub_port}"
    places = instance.run / "etc"
    places.mkdir(parents=True, exist_ok=True)
    (places / "engine.toml").write_text("")
    registries = {"docker.io": {"mirrors": [hub]}, hub: {"http": True}}
    (places / "engine.json").write_text(json.dumps({"logLevel": "info", "registries": registries}))


def wait_for_answer(instance: Instance) -> None:
    deadline = time.monotonic() + START_S
    while not engine_answers(instance, timeout_s=START_S):
        if instance.process.pid() is None:
            raise instance.process.failure(f"The engine {instance.name} ended as it started")
        if time.monotonic() > deadline:
            raise instance.process.failure(f"The engine {instance.name} has not answered for {START_S} s")
        time.sleep(0.1)
