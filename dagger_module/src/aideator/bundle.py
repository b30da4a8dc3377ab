"""Make directories that run on any image of the architecture: Python itself, and packages beside it.

Runs inside a container: `python3 bundle.py python OUT` copies the Python that runs it: OUT gets `python` (interpreter
and standard library) and `lib` (the loader as `ld.so`, and every shared library that they need).
`python3 bundle.py packages OUT REQUIREMENTS` installs what the file lists, and nothing besides: OUT gets `site`, and
`lib` with the shared libraries that its modules need.
"""

import compileall
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from py_compile import PycInvalidationMode

UNNEEDED = shutil.ignore_patterns(
    "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data",
    "site-packages", "dist-packages", "config-*", "__pycache__",
)  # fmt: skip


def main(what: str, out: Path, requirements: str = "") -> None:
    if what == "python":
        _copy_python(out)
    else:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--root-user-action=ignore"]
        site = ["--no-compile", "--no-deps", "--target", str(out / "site"), "--requirement", requirements]
        subprocess.run([*pip, *site], check=True)
        _copy_libraries(out, out.rglob("*.so"))
    # By hash and unchecked: a snapshot's file times are not ours to rely on.
    mode = PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(out, quiet=2, workers=0, invalidation_mode=mode)


def _copy_python(out: Path) -> None:
    python, stdlib = out / "python", Path(sysconfig.get_path("stdlib"))
    shutil.copytree(stdlib, python / "lib" / stdlib.name, ignore=UNNEEDED, symlinks=False)
    (python / "bin").mkdir()
    interpreter = Path(shutil.copy(Path(sys.executable).resolve(), python / "bin" / "python3"))
    _copy_libraries(out, [interpreter, *out.rglob("*.so")])


def _copy_libraries(out: Path, binaries: Iterable[Path]) -> None:
    """Copy what `ldd` names to `lib`; its lines are `name => path (address)`, the loader's is `path (address)`."""
    lib = out / "lib"
    lib.mkdir()
    for binary in binaries:
        listed = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False).stdout
        for path in re.findall(r"(/\S+) \(0x", listed):
            name = "ld.so" if Path(path).name.startswith("ld-") else Path(path).name
            if not (lib / name).exists():
                shutil.copy(path, lib / name)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
