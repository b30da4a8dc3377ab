# Writes to /patch what turns /base, a clone with its pristine git directory, into /tree, which an agent has had.
set -eu
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_OPTIONAL_LOCKS=0
git() {
  command git --git-dir=/base/.git --work-tree="$tree" -c core.bare=false -c core.fileMode=true -c core.symlinks=true \
    -c core.protectNTFS=false -c core.protectHFS=false -c core.hooksPath=/dev/null -c core.fsmonitor=false \
    -c core.autocrlf=false -c core.safecrlf=false \
    -c advice.addEmbeddedRepo=false "$@"
}
tree=/tree
# What the agent made unreadable belongs to the tree all the same. Nothing else is touched: that would copy it.
find /tree -maxdepth 0 ! -perm -u=rwx -exec chmod u+rwx {} \;
cd /tree
find . -type d ! -perm -u=rwx -exec chmod u+rwx {} \;
find . -type f ! -perm -u=r -exec chmod u+r {} +
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
export GIT_INDEX_FILE=/base/.git/clean.index
git read-tree HEAD
git apply --check --whitespace=nowarn /patch
git apply --cached --whitespace=nowarn /patch
[ "$(git write-tree)" = "$made" ] || { echo "the patch does not give the agent's tree" >&2; exit 1; }
