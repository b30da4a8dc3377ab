"""A Dagger engine for a machine that has no Docker: compiled from its published Go modules and run bare.

`python3 -m tests.bare_engine start` is what `make engine` calls. A test that kills its engine starts a second one:

    mine = Instance(name="mine", root=Path("/var/lib/mine"), network_name="mine", network_cidr="10.88.0.0/16")
    start(mine)
    subprocess.run([mine.cli, "core", "version"], env={**os.environ, **client_env(mine)})
    kill(mine)
    clear_leftovers(mine)

Only the standard library is used: this runs with the system's Python before any virtual environment exists.

| file | noun |
|---|---|
| `host.py` | the machine: what it must have, what apt brings |
| `binaries.py` | engine, CLI and helpers, by `go build` |
| `images.py`, `oci.py` | stand-ins for the images that a registry hub would give, and their format |
| `sdk.py` | what `"sdk": "python"` in a `dagger.json` means to this engine |
| `registry.py` | the registry on the loopback that plays the hub |
| `instance.py`, `engine.py` | one engine's names and places; its life |
| `leftovers.py` | what a killed engine leaves, and its removal |
| `client.py` | the variables and the command that a client needs |
| `build.py`, `step.py` | everything in order; one step, skipped when nothing changed |
| `process.py` | a process in the background |
"""

from tests.bare_engine.client import client_env
from tests.bare_engine.engine import Running, kill, start, stop
from tests.bare_engine.errors import BareEngineError
from tests.bare_engine.instance import MAIN, Instance
from tests.bare_engine.leftovers import clear_leftovers

__all__ = [
    "MAIN",
    "BareEngineError",
    "Instance",
    "Running",
    "clear_leftovers",
    "client_env",
    "kill",
    "start",
    "stop",
]
