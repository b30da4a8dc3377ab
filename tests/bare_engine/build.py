"""Everything that an engine needs, in order; what does not wait for each other goes side by side."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bare_engine.binaries import compile_binaries
from tests.bare_engine.host import install_packages
from tests.bare_engine.images import make_busybox, make_python
from tests.bare_engine.sdk import make_go_base, make_sdks


def build_all(work: Path, stamps: Path) -> None:
    """Bring packages, binaries and images; each step is skipped when nothing it depends on has changed."""
    install_packages()
    with ThreadPoolExecutor() as pool:
        # Compiling takes longest, and the images wait for downloads half of their time.
        compiled = pool.submit(compile_binaries, work, stamps)
        images = [pool.submit(make, work, stamps) for make in (make_busybox, make_python, make_go_base)]
        for step in (compiled, *images):
            step.result()
    make_sdks(work, stamps)
