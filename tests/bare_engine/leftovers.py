"""What an engine leaves when it is killed, and its removal.

A killed engine takes nothing with it: its containers run on, even past its restart. Everything here is known to be of
one engine by its runc root, its mark in the environment, its network's name or addresses; others' is never touched.
"""

import ipaddress
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from tests.bare_engine.errors import BareEngineError
from tests.bare_engine.instance import Instance

MARK = "AIDEATOR_BARE_ENGINE"
"""A variable of the engine, inherited by what it starts (runc, dnsmasq), never by what runs in containers."""

LOOKS = 3

ADDRESSES = Path("/var/lib/cni/networks")
RESULTS = Path("/var/lib/cni/results")
NAMES = Path("/run/containers/cni/dnsname")

SHARED_CHAINS = {"CNI-FORWARD", "CNI-ADMIN", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ", "CNI-HOSTPORT-DNAT"}
"""CNI's chains that are no container's own."""


def clear_leftovers(instance: Instance) -> None:
    """Remove what a killed engine left; raises BareEngineError while it runs."""
    if instance.process.pid() is not None:
        raise BareEngineError(f"The engine {instance.name} runs; only one that does not has leftovers.")
    remove_containers(instance)
    end_processes(instance)
    remove_network(instance)
    remove_files(instance)


def remove_containers(instance: Instance) -> None:
    """End containers; with their last process go their namespaces and all mounts in these."""
    if not instance.runc_root.is_dir():
        return
    runc = ["runc", "--root", str(instance.runc_root)]
    for container in output([*runc, "list", "--quiet"]).split():
        subprocess.run([*runc, "delete", "--force", container], capture_output=True, check=False)


def end_processes(instance: Instance) -> None:
    """End what else the engine had started; the mount namespace goes with the last of them."""
    deadline, unseen = time.monotonic() + 10, 0
    # A process shows no environment while it becomes another program, so it must be unseen more than once.
    while unseen < LOOKS:
        pids = list(marked_processes(instance))
        if pids and time.monotonic() > deadline:
            raise BareEngineError(f"Processes {pids} of the killed engine {instance.name} do not end.")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        unseen = 0 if pids else unseen + 1
        time.sleep(0.02)


def marked_processes(instance: Instance) -> Iterator[int]:
    mark = f"{MARK}={instance.name}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        # A process may end as it is looked at; a zombie has no environment left.
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                yield int(process.name)


def remove_network(instance: Instance) -> None:
    """Remove the bridge and the rules that let its containers out, then free their addresses."""
    bridge = f"{instance.network_name}0"
    if Path("/sys/class/net", bridge).exists():
        subprocess.run(["ip", "link", "delete", bridge], capture_output=True, check=False)
    remove_rules(instance)
    for folder in (ADDRESSES, NAMES):
        shutil.rmtree(folder / instance.network_name, ignore_errors=True)
    for result in RESULTS.glob("*"):
        # A container's loopback has a result too, which only its namespace tells from another engine's. Those of an
        # engine that runs come and go.
        with suppress(FileNotFoundError, json.JSONDecodeError, KeyError):
            if Path(json.loads(result.read_text())["netns"]).is_relative_to(instance.root):
                result.unlink()


def remove_rules(instance: Instance) -> None:
    for table in ("nat", "filter"):
        rules = rules_of(instance, output(["iptables", "-w", "-t", table, "-S"]))
        for rule in rules:
            iptables(table, "-D", *rule)
        # A container's own chain is empty now, and nothing leads to it.
        for chain in {word for rule in rules for word in rule if word.startswith("CNI-")} - SHARED_CHAINS:
            iptables(table, "-X", chain)


def rules_of(instance: Instance, listing: str) -> list[list[str]]:
    """Return the network's rules, in words: some carry its name, the others the address of one container.

    `listing` is what `iptables -S` prints.
    """
    name = f'name: "{instance.network_name}" '
    network = ipaddress.ip_network(instance.network_cidr)
    rules = [shlex.split(line)[1:] for line in listing.splitlines() if line.startswith("-A ")]
    return [rule for rule in rules if any(word.startswith(name) for word in rule) or names_address(rule, network)]


def names_address(rule: list[str], network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Say whether a rule is from or to one address of `network`."""
    ends = [value for option, value in pairwise(rule) if option in ("-s", "-d")]
    return any(end.endswith("/32") and ipaddress.ip_interface(end).ip in network for end in ends)


def iptables(table: str, *arguments: str) -> None:
    subprocess.run(["iptables", "-w", "-t", table, *arguments], capture_output=True, check=False)


def remove_files(instance: Instance) -> None:
    """Remove what stands for things that are gone: sockets, network namespaces, temporary files."""
    for path in (instance.run, instance.root / "net" / "cni", instance.root / "tmp"):
        shutil.rmtree(path, ignore_errors=True)


def output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
