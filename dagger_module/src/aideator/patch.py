"""A patch: the complete difference between a variation's tree and the base commit.

Made in a clean container with the base's own git directory beside the tree: git never reads a `.git` that an agent
could write, which would be running its commands. `Directory.changes().as_patch()` is of no use here: it leaves out
binary content and writes headers for new files that `git apply` refuses.
"""

from pathlib import Path

import dagger

from aideator.workspace import with_git

_SCRIPT = Path(__file__).with_name("make_patch.sh")


def patch(client: dagger.Client, base: dagger.Directory, tree: dagger.Directory) -> dagger.File:
    """The patch that turns `base` (with its pristine `.git`) into `tree`; empty where nothing changed.

    Binary content, modes, renames, deletions, new files and symlinks are in it; files that the tree's `.gitignore`
    covers are not. It was applied to a clean clone before it is handed out: evaluating it fails otherwise.
    """
    return (
        with_git(client)
        .with_mounted_directory("/base", base)
        .with_mounted_directory("/tree", tree)
        .with_exec(["sh", "-c", _SCRIPT.read_text()])
        .file("/patch")
    )
