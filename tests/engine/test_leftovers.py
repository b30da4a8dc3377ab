"""An engine of the test's own is killed; what it leaves is removed, and the engine beside it notices nothing."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bare_engine import MAIN, BareEngineError, Instance, clear_leftovers, client_env, kill, start
from tests.bare_engine.leftovers import ADDRESSES, marked_processes, output, rules_of
from tests.engine.own_engine import own_engine

pytestmark = pytest.mark.bare_engine

SLEEP = ["core", "container", "from", "--address=busybox", "with-exec", "--args=sleep,9876", "stdout"]


@pytest.fixture
def second(tmp_path: Path):
    """An engine of our own, started."""
    with own_engine("second", tmp_path, network_cidr="10.88.0.0/16") as second:
        yield second


@pytest.fixture
def sleeping(second: Instance):
    """A container that sleeps in the second engine: its first process, in a list."""
    environment = {**os.environ, **client_env(second)}
    client = subprocess.Popen([second.cli, *SLEEP], env=environment, stderr=subprocess.DEVNULL)
    until(lambda: containers(second) != [])
    yield containers(second)
    client.kill()  # it would wait for the dead engine for ever
    client.wait()


def until(holds: Callable[[], bool], limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def containers(instance: Instance) -> list[int]:
    """Return the first process of each container that runs."""
    listing = output(["runc", "--root", str(instance.runc_root), "list", "--format=json"])
    listed: list[dict[str, int | str]] = json.loads(listing) or []
    return [int(container["pid"]) for container in listed if container["status"] == "running"]


def rules(instance: Instance) -> list[list[str]]:
    return [rule for table in ("nat", "filter") for rule in rules_of(instance, output(["iptables", "-t", table, "-S"]))]


def bridge(instance: Instance) -> Path:
    return Path("/sys/class/net") / f"{instance.network_name}0"


def test_what_a_killed_engine_leaves_is_removed(second: Instance, sleeping: list[int]):
    main = MAIN.process.pid()
    with pytest.raises(BareEngineError, match="runs"):
        clear_leftovers(second)

    kill(second)
    assert containers(second) == sleeping
    assert list(marked_processes(second))
    assert rules(second)
    assert bridge(second).exists()

    clear_leftovers(second)
    assert not list(marked_processes(second))
    assert not rules(second)
    assert not bridge(second).exists()
    assert not (ADDRESSES / second.network_name).exists()
    assert not second.run.exists()
    assert not any(Path(f"/proc/{pid}").exists() for pid in sleeping)
    assert MAIN.process.pid() == main
    assert rules(MAIN) or main is None


def test_a_start_after_a_kill_clears_up_and_answers(second: Instance, sleeping: list[int]):
    kill(second)
    assert start(second).started
    assert containers(second) == []
    assert not start(second).started
    assert not any(Path(f"/proc/{pid}").exists() for pid in sleeping)
