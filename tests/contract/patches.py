from service.engine import Engine
from tests.contract.sandboxes import by_command, patches_of, prepared, spec, vary
from tests.contract.trees import CHANGED, CHANGES, IGNORING, SAME_BY_GIT, TREES
from tests.git_repositories import GitRepositories


class PatchesContract:
    """A patch is what anybody with a clone, a shell and git would make of the same tree, byte for byte."""

    async def test_a_patch_is_the_complete_difference_from_the_base(self, engine: Engine, git: GitRepositories):
        url = git.make("repo", CHANGED)
        nested = "git init --quiet nested; echo inside > nested/file; (cd nested; git add file)"
        async with prepared(engine, spec(url)) as sandbox:
            result = await vary(sandbox, 0, by_command(f"set -e\n{CHANGES}\n{nested}"))
            assert result.exit == 0, result.finished.reason
            patch = await sandbox.patch(0)
        without_commits = "\n".join(line for line in CHANGES.splitlines() if " commit " not in line)
        expected = git.patch_of(url, f"{without_commits}\nmkdir nested; echo inside > nested/file")
        assert patch == expected
        for sign in (
            b"deleted file",
            b"GIT binary patch",
            b"rename from",
            b"new mode 100755",
            b"120000",
            b"a name with",
        ):
            assert sign in patch

    async def test_a_tree_has_the_patch_that_git_makes_of_it(self, engine: Engine, git: GitRepositories):
        url = git.make("repo", CHANGED)
        patches = await patches_of(engine, url, list(TREES.values()))
        for (name, commands), patch in zip(TREES.items(), patches, strict=True):
            assert patch == git.patch_of(url, commands), name
            assert patch, name

    async def test_what_an_agent_does_with_git_makes_no_difference(self, engine: Engine, git: GitRepositories):
        url = git.make("repo", CHANGED)
        patches = await patches_of(engine, url, list(SAME_BY_GIT))
        for (by_git, plainly), patch in zip(SAME_BY_GIT.items(), patches, strict=True):
            assert patch == git.patch_of(url, plainly), by_git

    async def test_files_that_git_ignores_are_left_out_unless_it_tracks_them(
        self, engine: Engine, git: GitRepositories
    ):
        url = git.make("repo", {"kept.log": "kept\n", "README.md": "# A repository\n"})
        git.commit("repo", {".gitignore": "*.log\nbuild/\n"})
        (patch,) = await patches_of(engine, url, [IGNORING])
        assert patch == git.patch_of(url, IGNORING)
        for sign in (b"kept.log", b"source.txt", b"mine.gitignore"):
            assert sign in patch
        for sign in (b"debug.log", b"build/made", b"own/secret.txt"):
            assert sign not in patch

    async def test_an_agent_s_git_configuration_runs_nothing(self, engine: Engine, git: GitRepositories):
        config = "git config core.fsmonitor 'touch owned; false'; git config diff.x.textconv 'touch owned; cat'"
        attributes = "echo '* diff=x' > .gitattributes; echo changed > README.md; rm -rf .git/objects"
        url = git.make("repo")
        async with prepared(engine, spec(url)) as sandbox:
            assert (await vary(sandbox, 0, by_command(f"{config}; {attributes}"))).exit == 0
            assert await sandbox.patch(0) == git.patch_of(
                url, "echo '* diff=x' > .gitattributes; echo changed > README.md"
            )

    async def test_no_change_is_an_empty_patch(self, engine: Engine, git: GitRepositories):
        unchanged = [
            "touch README.md",
            "mkdir -p empty/folders",
            "chmod 600 README.md",
            "mkfifo pipe",
            "rm -rf .git",
            "chmod 0 .",
        ]
        assert await patches_of(engine, git.make("repo"), unchanged) == [b""] * len(unchanged)
