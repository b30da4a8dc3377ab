"""An OCI image layout: a folder of blobs named by their digests, and an index that names the manifest."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
# Not compressed: an image never leaves this machine, and packing and unpacking is most of the time it costs.
LAYER = "application/vnd.oci.image.layer.v1.tar"

Descriptor = dict[str, str | int]


def write_layout(layout: Path, layers: Sequence[Path], *, env: Mapping[str, str], command: Sequence[str] = ()) -> None:
    """Make an image of `layers`, tar files that are moved into it, lowest first."""
    shutil.rmtree(layout, ignore_errors=True)
    blobs(layout).mkdir(parents=True)
    stored = [store_layer(layout, layer) for layer in layers]
    config = {
        "architecture": architecture(),
        "os": "linux",
        "config": {"Env": [f"{name}={value}" for name, value in env.items()], "Cmd": list(command)},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in stored]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": store_json(layout, config, CONFIG),
        "layers": stored,
    }
    index = {"schemaVersion": 2, "manifests": [store_json(layout, manifest, MANIFEST)]}
    (layout / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    (layout / "index.json").write_text(json.dumps(index))


def manifest_digest(layout: Path) -> str:
    """Return `sha256:…` of the one image in `layout`."""
    return json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]


def blobs(layout: Path) -> Path:
    return layout / "blobs" / "sha256"


def store_layer(layout: Path, tar: Path) -> Descriptor:
    with tar.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = tar.stat().st_size
    shutil.move(tar, blobs(layout) / digest)
    return {"mediaType": LAYER, "digest": f"sha256:{digest}", "size": size}


def store_json(layout: Path, content: object, media_type: str) -> Descriptor:
    encoded = json.dumps(content).encode()
    digest = hashlib.sha256(encoded).hexdigest()
    (blobs(layout) / digest).write_bytes(encoded)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(encoded)}


def architecture() -> str:
    """Return this machine's; Debian's words for them, amd64 and arm64, are OCI's too."""
    return subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
