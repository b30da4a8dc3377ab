"""The registry on the loopback that plays the hub, so that the product says `from_("python:3.11-slim")` everywhere."""

import http.client
import json
import signal
import subprocess
import time
from pathlib import Path

from tests.bare_engine.errors import BareEngineError
from tests.bare_engine.images import PATH
from tests.bare_engine.instance import Instance
from tests.bare_engine.oci import manifest_digest
from tests.bare_engine.step import Step

IMAGES = {"python": "library/python:3.11-slim", "busybox": "library/busybox:latest"}
"""Which layout is which image of the hub."""


def start_registry(instance: Instance) -> None:
    """Start the registry, unless it runs, and wait until it answers."""
    registry = instance.registry
    if registry.pid() is None:
        config = instance.work / "etc" / "registry.json"
        config.parent.mkdir(parents=True, exist_ok=True)
        # JSON is YAML; the registry reads the latter.
        config.write_text(json.dumps(configuration(instance)))
        registry.log.unlink(missing_ok=True)
        registry.spawn(["docker-registry", "serve", str(config)], {"PATH": PATH, "OTEL_TRACES_EXPORTER": "none"})
    deadline = time.monotonic() + 10
    while not registry_answers(instance.hub_port):
        if registry.pid() is None or time.monotonic() > deadline:
            raise registry.failure(f"The registry on 127.0.0.1:{instance.hub_port} does not answer")
        time.sleep(0.05)


def stop_registry(instance: Instance) -> bool:
    """Stop the registry; False if it did not run."""
    registry = instance.registry
    ran = registry.signal(signal.SIGTERM)
    if ran and not registry.ended_within(5):
        registry.signal(signal.SIGKILL)
        registry.ended_within(5)
    registry.identity.unlink(missing_ok=True)
    return ran


def push_images(instance: Instance) -> None:
    """Give the registry the stand-ins."""
    storage = registry_storage(instance) / "docker" / "registry" / "v2" / "repositories"
    for name, image in IMAGES.items():
        layout = instance.work / "images" / name
        repository, tag = image.split(":")
        Step(
            name=f"hub-{name}",
            does=f"push {image} to the registry",
            inputs=(manifest_digest(layout),),
            results=(storage / repository / "_manifests" / "tags" / tag / "current" / "link",),
        ).run(lambda: push(layout, image, instance.hub_port), stamps=instance.stamps)  # noqa: B023


def push(layout: Path, image: str, port: int) -> None:
    # The digest must stay: skopeo would compress the layers and so make another image of it.
    options = ("--insecure-policy", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false")
    command = ["skopeo", *options, f"oci:{layout}", f"docker://127.0.0.1:{port}/{image}"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise BareEngineError(f"skopeo cannot push {image}:\n{answer.stderr}")


def configuration(instance: Instance) -> dict[str, object]:
    return {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}, "level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(registry_storage(instance))}},
        "http": {"addr": f"127.0.0.1:{instance.hub_port}"},
    }


def registry_storage(instance: Instance) -> Path:
    return instance.work / "registry"


def registry_answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
