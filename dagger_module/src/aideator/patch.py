"""A patch: the complete difference between a variation's tree and the base commit.

Made in a clean container with the base's own git directory beside the tree: git never reads a `.git` that an agent
could write, which would be running its commands. `Directory.changes().as_patch()` is of no use here: it leaves out
binary content and writes headers for new files that `git apply` refuses.
"""

import dagger

from aideator.workspace import with_git

_MAKE_PATCH = r"""
set -eu
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_OPTIONAL_LOCKS=0
git() {
  command git --git-dir=/base/.git --work-tree="$tree" -c core.bare=false -c core.fileMode=true -c core.symlinks=true \
    -c core.protectNTFS=false -c core.protectHFS=false -c core.hooksPath=/dev/null -c core.fsmonitor=false \
    -c core.autocrlf=false -c core.safecrlf=false \
    -c advice.addEmbeddedRepo=false "$@"
}
tree=/tree
cd /tree
# A repository inside the tree would be recorded as a link to a commit that nobody has: its files are what counts.
find . -mindepth 1 -iname .git -prune -exec rm -rf {} +
# A submodule is not ours to change: its directory goes back to what a clone without submodules has.
git read-tree HEAD
git ls-files --stage | sed -n 's/^160000 [0-9a-f]* 0\t//p' | while IFS= read -r submodule; do
  [ -d "${submodule%/*}" ] || [ "${submodule%/*}" = "$submodule" ] || continue
  rm -rf "$submodule"
  mkdir "$submodule"
done
git add --all .
git diff --cached --binary --full-index --find-renames --no-ext-diff --no-textconv --no-color HEAD > /patch
made=$(git write-tree)
[ -s /patch ] || exit 0
# The proof: on a clean clone the patch applies, and gives exactly the agent's tree.
tree=/base
cd /base
export GIT_INDEX_FILE=/clean.index
git read-tree HEAD
git apply --check --whitespace=nowarn /patch
git apply --cached --whitespace=nowarn /patch
[ "$(git write-tree)" = "$made" ] || { echo "the patch does not give the agent's tree" >&2; exit 1; }
"""


def patch(client: dagger.Client, base: dagger.Directory, tree: dagger.Directory) -> dagger.File:
    """The patch that turns `base` (with its pristine `.git`) into `tree`; empty where nothing changed.

    Binary content, modes, renames, deletions, new files and symlinks are in it; files that the tree's `.gitignore`
    covers are not. It was applied to a clean clone before it is handed out: evaluating it fails otherwise.
    """
    return (
        with_git(client)
        .with_mounted_directory("/base", base)
        .with_mounted_directory("/tree", tree)
        .with_exec(["sh", "-c", _MAKE_PATCH])
        .file("/patch")
    )
