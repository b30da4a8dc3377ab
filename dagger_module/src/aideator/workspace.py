"""What the variations of a run share: image, git, the repository at one commit, setup commands.

The order of the steps is the cache policy: what changes least comes first, and nothing that differs between variations
comes in at all, so that N of them, of several agents, cause one clone and one setup.
"""

import hashlib

import dagger

from aideator.harness import PYTHON_IMAGE, run_harness
from aideator.places import CACHE, MOUNT, WORKDIR

_ROOT = "0:0"  # an image without /etc/passwd knows no name, and no group of a number
# Where the package manager fails, so does the step: a layer without git must not be kept for good.
_INSTALL_GIT = """
set -e
if command -v git >/dev/null; then exit 0; fi
if command -v apt-get >/dev/null; then
  apt-get update -qq >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends git ca-certificates >/dev/null
elif command -v apk >/dev/null; then apk add --quiet --no-cache git
elif command -v microdnf >/dev/null; then microdnf install -y git >/dev/null
elif command -v dnf >/dev/null; then dnf install -qy git >/dev/null
fi
"""
_SNAPSHOT = """
set -eu
find . -name .git -prune -exec rm -rf {} +
git init --quiet
git add --all --force
git -c user.name=aideator -c user.email=aideator@invalid -c commit.gpgSign=false \\
  commit --quiet --allow-empty --message "the directory as given"
"""


def with_git(client: dagger.Client, image: str = PYTHON_IMAGE) -> dagger.Container:
    """`image`, run as root, with git added by its package manager where it lacks it.

    An image with neither git nor a package manager that we know stays without: an agent can still work in it.
    """
    as_root = client.container().from_(image).with_user(_ROOT)
    return as_root.with_exec(["sh", "-c", _INSTALL_GIT], use_entrypoint=False)


def snapshot(client: dagger.Client, source: dagger.Directory) -> dagger.Directory:
    """A directory as given, uncommitted changes included, as a repository with one commit: the base of its patches.

    Whatever `.git` came with it is left out, for a git directory that someone else wrote can run commands.
    """
    given = with_git(client).with_directory(WORKDIR, source).with_workdir(WORKDIR)
    return given.with_exec(["sh", "-c", _SNAPSHOT]).directory(WORKDIR)


def workspace(
    client: dagger.Client,
    *,
    image: str,
    base: dagger.Directory,
    harness: dagger.Directory,
    repository: str,
    setup: list[str],
    setup_timeout_s: float = 900.0,
) -> dagger.Container:
    """The container that variations start from, in `WORKDIR`.

    `base` is the repository, its pristine `.git` included, and `repository` its name. The `setup` commands run under
    the harness, with a cache directory (`XDG_CACHE_HOME`) that survives between runs of the same commands on the same
    repository; agents do not see it.
    """
    ready = with_git(client, image).without_directory(WORKDIR).with_directory(WORKDIR, base).with_workdir(WORKDIR)
    if not setup:
        return ready
    cached = ready.with_mounted_cache(CACHE, setup_cache(client, repository, setup))
    cached = cached.with_env_variable("XDG_CACHE_HOME", CACHE)
    args = [f"--timeout={setup_timeout_s:g}", *(f"--setup={command}" for command in setup)]
    done = run_harness(cached, {MOUNT: harness}, args)
    return done.without_env_variable("XDG_CACHE_HOME").without_mount(CACHE)


def setup_cache(client: dagger.Client, repository: str, setup: list[str]) -> dagger.CacheVolume:
    """The cache volume of one repository's setup: its code runs there, so another repository must not read it."""
    key = hashlib.sha256("\0".join([repository, *setup]).encode()).hexdigest()
    return client.cache_volume(f"aideator-setup-{key}")
