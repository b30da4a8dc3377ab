import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

ROOT = Path(__file__).parents[2]
NOBODY_S = "64321"
FIND = """
from pathlib import Path
from service.db.account import find_account
from service.db.binaries import EmbeddedPostgresError
try:
    find_account(Path("nowhere"))
except EmbeddedPostgresError as error:
    print(error)
"""


@pytest.mark.skipif(which("bwrap") is None, reason="there is no bubblewrap")
def test_a_user_without_a_name_is_told_what_postgres_wants():
    become = ["bwrap", "--unshare-user", "--uid", NOBODY_S, "--gid", NOBODY_S, "--ro-bind", "/", "/"]
    said = subprocess.run([*become, sys.executable, "-c", FIND], cwd=ROOT, capture_output=True, check=True).stdout
    assert said.startswith(b"Postgres refuses to run as user 64321, who has no name here: add one to /etc/passwd")
