"""What foreign programs have written is removed, and leads its removal nowhere."""

import subprocess
import sys
from pathlib import Path

from unprivileged import unprivileged

from service.engine.local.removal import empty, remove

REMOVE = """
from pathlib import Path
from service.engine.local.removal import remove
print(remove(Path("tree")))
"""


def test_a_link_leads_removal_nowhere(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "kept").write_text("kept")
    tree = tmp_path / "tree"
    (tree / "shut").mkdir(parents=True)
    for place in (tree, tree / "shut"):
        (place / "folder").symlink_to(outside)
        (place / "file").symlink_to(outside / "kept")
        (place / "round").symlink_to(tree)
    (tree / "shut").chmod(0o500)
    assert remove(tree)
    (tmp_path / "link").symlink_to(outside)
    assert remove(tmp_path / "link")
    assert list(tmp_path.iterdir()) == [outside]
    assert (outside.stat().st_mode & 0o777, (outside / "kept").read_text()) == (0o755, "kept")


def test_who_may_not_all_removes_folders_that_are_shut_and_changes_no_other():
    """As a user: root is let in anyhow."""
    make = (
        "mkdir -p tree/a/b tree/c/d outside && touch tree/a/b/f tree/c/d/f && ln -s $PWD/outside tree/a/l &&"
        "ln -s $PWD/outside tree/l && chmod 0755 outside && chmod 0 tree/a/b && chmod 0500 tree/a tree/c tree"
    )
    with unprivileged() as user:
        assert user.run(["sh", "-c", make]).returncode == 0
        done = user.run([sys.executable, "-c", REMOVE])
        assert (done.stdout, (user.folder / "outside").stat().st_mode & 0o777) == (b"True\n", 0o755)
        assert list(user.folder.iterdir()) == [user.folder / "outside"]


def test_no_depth_is_too_deep_for_removal(tmp_path: Path):
    (tmp_path / "tree").mkdir()
    dig = "i=0; while [ $i -lt 3000 ]; do mkdir d && cd -P d; i=$((i+1)); done; touch file"
    subprocess.run(["sh", "-c", dig], cwd=tmp_path / "tree", check=True)
    empty(tmp_path / "tree")
    assert list((tmp_path / "tree").iterdir()) == []
