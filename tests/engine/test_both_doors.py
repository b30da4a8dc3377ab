"""`dagger call` and HTTP are two doors to the same work."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import httpx2

from tests.contract.trees import CHANGED
from tests.git_repositories import GitRepositories
from tests.service.api import start_run, until

COMMAND = """
rm src/main.py
printf 'a\\000b\\377%s\\n' "$VARIATION_ID" > binary
git mv poem.txt "poem-$VARIATION_ID.txt"
echo 'one line more' >> "poem-$VARIATION_ID.txt"
chmod +x run.sh
ln -s README.md "link-$VARIATION_ID"
echo "$VARIATION_ID" >> README.md
"""
SIGNS = (b"deleted file", b"GIT binary patch", b"rename from poem.txt", b"new mode 100755", b"new file mode 120000")


async def test_both_give_the_same_patches(
    http: httpx2.AsyncClient, git: GitRepositories, dagger_call: Callable[..., str], tmp_path: Path
):
    url = git.make("sample", CHANGED)
    run = await until(http, await start_run(http, url, COMMAND, variations=3), "succeeded")
    by_http = [(await http.get(each["patch_url"])).content for each in run["variations"]]

    call = ["call", "run", f"--repo={url}", "--agent=command", f"--command={COMMAND}", f"--run-id={uuid4().hex}"]
    for index, patch in enumerate(by_http):
        exported = tmp_path / f"{index}.patch"
        dagger_call(*call, "variation", f"--index={index}", "patch", "export", f"--path={exported}")
        assert exported.read_bytes() == patch

    for index, patch in enumerate(by_http):
        assert all(sign in patch for sign in SIGNS)
        assert patch == git.patch_of(url, f"VARIATION_ID={index}\n{COMMAND}")
        git.git(".", "clone", "--quiet", url, f"clean-{index}")
        exported = str(tmp_path / f"{index}.patch")
        git.git(f"clean-{index}", "apply", "--check", exported)
        git.git(f"clean-{index}", "apply", "--index", exported)
        again = git.git(f"clean-{index}", "diff", "--cached", "--binary", "--full-index", "--find-renames", "HEAD")
        assert again == patch
    assert len(set(by_http)) == 3
