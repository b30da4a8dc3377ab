"""The gateway of a run: a service that alone holds the model keys, and that variations ask in the providers' place."""

from collections.abc import Mapping

import dagger

from aideator.harness import PYTHON_IMAGE, command, mounted
from aideator.places import AGENT_MOUNT, MOUNT

HOST = "gateway"
PORT = 8080
REQUIREMENTS = "gateway/requirements.txt"
"""Where in `agent_image` what it needs stands."""

_PLAN = "/run/aideator/plan.json"


def gateway(
    client: dagger.Client,
    *,
    harness: dagger.Directory,
    packages: dagger.Directory,
    plan: dagger.Secret,
    keys: Mapping[str, dagger.Secret],
    upstreams: Mapping[str, dagger.Service],
) -> dagger.Service:
    """The gateway as a service, not started.

    `plan` is what it is told, as JSON (`agent_image/gateway/plan.py`); `keys` the providers' keys by the variables that
    the plan names; `upstreams` the providers that are services themselves, by the host names in the plan.
    """
    container = mounted(client.container().from_(PYTHON_IMAGE), {MOUNT: harness, AGENT_MOUNT: packages})
    container = container.with_mounted_secret(_PLAN, plan).with_exposed_port(PORT)
    for variable, key in keys.items():
        container = container.with_secret_variable(variable, key)
    for host, service in upstreams.items():
        container = container.with_service_binding(host, service)
    listen = ["--plan", _PLAN, "--listen", f"0.0.0.0:{PORT}"]
    return container.as_service(args=[*command("agent_image.gateway"), *listen])
