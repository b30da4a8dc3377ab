"""Copy the Python that runs this, with packages, into a directory that runs on any image of the architecture.

Runs inside a container: `python3 bundle.py REQUIREMENTS OUT`. OUT gets `python` (interpreter and standard library),
`site` (the packages) and `lib` (the loader as `ld.so`, and every shared library that any of them needs).
"""

import compileall
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from py_compile import PycInvalidationMode

UNNEEDED = shutil.ignore_patterns(
    "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data",
    "site-packages", "dist-packages", "config-*", "__pycache__",
)  # fmt: skip


def main(requirements: str, out: Path) -> None:
    python, site, lib = out / "python", out / "site", out / "lib"
    stdlib = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(stdlib, python / "lib" / stdlib.name, ignore=UNNEEDED, symlinks=False)
    (python / "bin").mkdir()
    interpreter = shutil.copy(Path(sys.executable).resolve(), python / "bin" / "python3")
    _install(requirements, site)
    lib.mkdir()
    for binary in [Path(interpreter), *out.rglob("*.so")]:
        _copy_libraries(binary, lib)
    # By hash and unchecked: a snapshot's file times are not ours to rely on.
    mode = PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(out, quiet=2, workers=0, invalidation_mode=mode)


def _install(requirements: str, site: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--root-user-action=ignore"]
    subprocess.run([*pip, "--target", str(site), "--requirement", requirements], check=True)


def _copy_libraries(binary: Path, lib: Path) -> None:
    """Copy what `ldd` names; its lines are `name => path (address)`, the loader's is `path (address)`."""
    listed = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False).stdout
    for path in re.findall(r"(/\S+) \(0x", listed):
        name = "ld.so" if Path(path).name.startswith("ld-") else Path(path).name
        if not (lib / name).exists():
            shutil.copy(path, lib / name)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
