"""What `"sdk": "python"` and `"sdk": "go"` in a `dagger.json` mean to this engine.

An engine loads an SDK as an image, by digest, from its content directory. The Python SDK's is a Go module that answers
`ModuleRuntime` and `Codegen`; it is compiled within the Go SDK's image. Dagger's own are made of images from hubs; ours
are made here: the Python runtime in `python_sdk`, and for Go the machine's toolchain on a minimal Debian.
"""

import shutil
import tarfile
from pathlib import Path

from tests.bare_engine.binaries import go
from tests.bare_engine.images import CERTIFICATES, MADE_BY, PATH, bootstrap, certificates
from tests.bare_engine.oci import blobs, manifest_digest, write_layout
from tests.bare_engine.step import Step

PYTHON_SDK = Path(__file__).parent / "python_sdk"
GO_PACKAGES = ("git", "ca-certificates")
GO_ENV = {
    "PATH": f"/usr/local/go/bin:/go/bin:{PATH}",
    "GOPATH": "/go",
    "GOFLAGS": "-buildvcs=false",
    "GOTOOLCHAIN": "local",
    # The modules' own go.sum is checked; the database of all checksums may be out of reach.
    "GOSUMDB": "off",
    **CERTIFICATES,
}
# Where the engine mounts its caches; it expects them to be there.
GO_CACHES = ("go/pkg/mod", "root/.cache/go-build")


def make_go_base(work: Path, stamps: Path) -> None:
    """Make the Debian below the Go toolchain; it needs nothing compiled, so it need not wait for that."""
    base = work / "build" / "go-base.tar"
    Step(
        name="go-base",
        does="make the Debian for the Go SDK's image",
        takes="half a minute",
        inputs=(*MADE_BY, *certificates(), *GO_PACKAGES),
        results=(base,),
    ).run(lambda: bootstrap(base, GO_PACKAGES), stamps=stamps)


def make_sdks(work: Path, stamps: Path) -> None:
    """Make the images of both SDKs."""
    layouts, build = images(work), work / "build"
    inputs = (
        *MADE_BY,
        PYTHON_SDK,
        Path(__file__),
        go("env", "GOVERSION"),
        work / "bin" / "codegen",
        stamps / "go-base",
    )

    def make() -> None:
        pack_go(build / "go.tar", codegen=work / "bin" / "codegen")
        base = build / "go-base-copy.tar"
        base.unlink(missing_ok=True)
        base.hardlink_to(build / "go-base.tar")
        write_layout(layouts["GO"], [base, build / "go.tar"], env=GO_ENV)
        pack_python(build / "python-sdk.tar")
        write_layout(layouts["PYTHON"], [build / "python-sdk.tar"], env={})

    Step(
        name="sdks",
        does="make the images of the Go and the Python SDK",
        inputs=inputs,
        results=tuple(layout / "index.json" for layout in layouts.values()),
    ).run(make, stamps=stamps)


def sdk_environment(work: Path) -> dict[str, str]:
    """Return the variables by which the engine learns which images are its SDKs."""
    return {f"DAGGER_{name}_SDK_MANIFEST_DIGEST": manifest_digest(layout) for name, layout in images(work).items()}


def fill_content(content: Path, work: Path) -> None:
    """Gather the images' blobs in the directory where an engine looks for them.

    Each engine has its own, of links: it may run on while its SDKs are made anew for the next.
    """
    shutil.rmtree(content, ignore_errors=True)
    blobs(content).mkdir(parents=True)
    for layout in images(work).values():
        for blob in blobs(layout).iterdir():
            target = blobs(content) / blob.name
            try:
                target.hardlink_to(blob)
            except OSError:  # another file system
                shutil.copy(blob, target)


def images(work: Path) -> dict[str, Path]:
    return {"GO": work / "images" / "go-sdk", "PYTHON": work / "images" / "python-sdk"}


def pack_go(tar: Path, *, codegen: Path) -> None:
    """Pack what stands on the Debian: toolchain, codegen, and the caches' places."""
    # Some toolchains are packaged as links into several folders.
    with tarfile.open(tar, "w", dereference=True) as layer:
        layer.add(go("env", "GOROOT"), "usr/local/go")
        layer.add(codegen, "usr/local/bin/codegen")
        for cache in GO_CACHES:
            entry = tarfile.TarInfo(cache)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            layer.addfile(entry)


def pack_python(tar: Path) -> None:
    with tarfile.open(tar, "w") as layer:
        layer.add(PYTHON_SDK / "runtime", "runtime")
