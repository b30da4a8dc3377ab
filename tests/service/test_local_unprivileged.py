"""The local engine keeps its promises to a user who is not root, too: without overlays, and without control groups."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parents[2]
SYSTEM_PYTHON = Path("/usr/bin/python3")
"""Ours may lie where nobody but root can go."""
USER = 65_529
PLACE = Path("/mnt/aideator")
SHOW = f'mount -t tmpfs tmpfs /mnt; mkdir {PLACE}; mount --bind "$1" {PLACE}; cd {PLACE}; shift; exec "$@"'
"""Shows the sources where any user can go, in a mount namespace that ends with the tests."""
PROMISES = (
    "test_a_patch_is_the_complete_difference",
    "test_each_variation_has_a_patch_of_its_own",
    "test_setup_prints_live",
    "test_an_end_has_its_exit_status",
    "test_an_agent_that_is_asked_to_end_leaves",
    "test_who_leaves_a_variation",
    "test_a_line_comes_while",
    "test_a_ref_is_a_branch",
    "test_files_that_git_ignores",
    "test_an_end_takes_everything_with_it",
)


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever runs the tests is not root anyway")
def test_the_promises_hold_without_root():
    version = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    if not SYSTEM_PYTHON.exists() or subprocess.run([SYSTEM_PYTHON, "-c", version], check=False).returncode:
        pytest.skip(f"there is no {SYSTEM_PYTHON} of our version, for whose packages ours are")
    packages = [PLACE, f"{PLACE}/dagger_module/src", str(PLACE / Path(sysconfig.get_path("purelib")).relative_to(ROOT))]
    with TemporaryDirectory(dir="/var/tmp") as home:
        os.chown(home, USER, USER)
        environ = {"HOME": home, "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONPATH": ":".join(map(str, packages))}
        become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        tests = [SYSTEM_PYTHON, "-P", "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={home}/tests"]
        tests += ["-rfEsp", "-k", " or ".join(PROMISES), "tests/service/test_local_engine.py"]
        shown = ["unshare", "--mount", "sh", "-ec", SHOW, "sh", ROOT, *become, *tests]
        done = subprocess.run(shown, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert [promise for promise in PROMISES if not re.search(f"PASSED .*::{promise}", done.stdout)] == []
    assert "skipped" not in done.stdout.lower()
