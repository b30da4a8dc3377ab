"""Stand-ins for the images of the hub, made from Debian packages.

They are no richer than what they stand for: what works with them works with the real ones. Beyond those they know the
machine's certificates, so that pip and apt work where all traffic passes a proxy with an authority of its own.
"""

import os
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from tests.bare_engine import oci
from tests.bare_engine.errors import BareEngineError
from tests.bare_engine.host import CA_BUNDLE
from tests.bare_engine.oci import write_layout
from tests.bare_engine.step import Step

SUITE = "bookworm"
"""The Debian whose Python is 3.11, whatever the machine's own is."""

MADE_BY = (Path(__file__), Path(oci.__file__))

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CERTIFICATES = {
    name: str(CA_BUNDLE) for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
}
AUTHORITIES = Path("/usr/local/share/ca-certificates")
"""The machine's own; in an image, apt makes the bundle anew from them whenever it installs certificates."""

PYTHON_PACKAGES = ("python3", "python3-venv", "python3-pip", "python-is-python3", "ca-certificates")
LIKE_THE_REAL_PYTHON = (
    # pip installs into the system without complaint,
    'rm "$1"/usr/lib/python3*/EXTERNALLY-MANAGED',
    # and Python stands in /usr/local, where scripts name it.
    'for name in python python3 pip pip3; do ln -s "/usr/bin/$name" "$1/usr/local/bin/$name"; done',
    'ln -sf pip3 "$1/usr/bin/pip"',
)


def make_python(work: Path, stamps: Path) -> None:
    """Make the stand-in for `python:3.11-slim`: Python, pip, venv, apt; no git, no ps."""
    layout = work / "images" / "python"
    inputs = (*MADE_BY, *certificates())

    def make() -> None:
        root = work / "build" / "python.tar"
        bootstrap(root, PYTHON_PACKAGES, hooks=LIKE_THE_REAL_PYTHON)
        write_layout(layout, [root], env={"PATH": PATH, "LANG": "C.UTF-8", **CERTIFICATES}, command=["python3"])

    Step(
        name="python",
        does="make the stand-in for python:3.11-slim",
        takes="half a minute",
        inputs=inputs,
        results=(layout / "index.json",),
    ).run(make, stamps=stamps)


def make_busybox(work: Path, stamps: Path) -> None:
    """Make the stand-in for `busybox`: one static program under its many names, no libraries, no certificates."""
    layout, busybox = work / "images" / "busybox", Path("/bin/busybox")

    def make() -> None:
        layer = work / "build" / "busybox.tar"
        layer.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(layer, "w") as tar:
            add_busybox(tar, busybox)
        write_layout(layout, [layer], env={"PATH": PATH}, command=["sh"])

    Step(
        name="busybox",
        does="make the stand-in for busybox",
        inputs=(*MADE_BY, busybox),
        results=(layout / "index.json",),
    ).run(make, stamps=stamps)


def add_busybox(tar: tarfile.TarFile, busybox: Path) -> None:
    for folder, mode in {"bin": 0o755, "etc": 0o755, "root": 0o700, "tmp": 0o1777}.items():
        entry = tarfile.TarInfo(folder)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        tar.addfile(entry)
    tar.add(busybox, "bin/busybox")
    for applet in subprocess.check_output([busybox, "--list"], text=True).split():
        if applet != "busybox":
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)


def bootstrap(tar: Path, packages: Sequence[str], *, hooks: Sequence[str] = ()) -> None:
    """Write a minimal Debian with `packages` to `tar`; `hooks` are shell lines, the root is `$1`."""
    tar.parent.mkdir(parents=True, exist_ok=True)
    brought = [f"sync-in {AUTHORITIES} {AUTHORITIES}"] if AUTHORITIES.is_dir() else []
    brought.append(f"copy-in {CA_BUNDLE} {CA_BUNDLE.parent}")
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"]
    command += [f"--customize-hook={hook}" for hook in (*brought, *hooks)]
    environment = {"PATH": PATH, "TMPDIR": str(tar.parent), **proxies()}
    answer = subprocess.run([*command, SUITE, str(tar)], env=environment, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise BareEngineError(f"mmdebstrap cannot make {tar.name}:\n{answer.stderr[-4000:]}")


def certificates() -> tuple[Path, ...]:
    return (CA_BUNDLE, AUTHORITIES) if AUTHORITIES.is_dir() else (CA_BUNDLE,)


def proxies() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
