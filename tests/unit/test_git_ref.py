import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.git_ref import RefError, check_ref

ALPHABET = "aB9/.-_@{}~^:?*[\\ +#%$lock\u00fc\x7f\n\u200b"


def git_takes(ref: str) -> bool:
    command = ["git", "check-ref-format", "--branch", ref]
    return subprocess.run(command, capture_output=True, check=False, cwd="/").returncode == 0


@pytest.mark.parametrize(
    "ref", ["main", "feature/x-1.2", "v1.0", "refs/heads/main", "a@b", "gr\u00fcn", "0" * 40, "a.b", "a" * 255]
)
def test_a_branch_a_tag_and_a_commit_are_taken_as_they_are(ref: str):
    assert check_ref(ref) == ref
    assert git_takes(ref)


@pytest.mark.parametrize("ref", ["", "HEAD"])
def test_head_is_the_empty_ref(ref: str):
    assert check_ref(ref) == ""


@pytest.mark.parametrize(
    "ref",
    [
        "-x", "--upload-pack=id", "a..b", "refs/heads/..", "@{-1}", "@", "a@{b", "a b", " ", "a~1", "a^",
        "a:b", "a?", "a*",
        "a[b", "a\\b", "x.lock", "x.lock/y", ".x", "a/.x", "x.", "/x", "x/", "a//b", "a\0b", "a\nb", "a\x7fb",
        "a\u202eb", "a\u200bb", "\ud800", "a" * 256, "\u00fc" * 128,
    ],
)  # fmt: skip
def test_what_git_would_refuse_or_misread_is_refused(ref: str):
    with pytest.raises(RefError) as caught:
        check_ref(ref)
    assert caught.value.code == "ref.syntax"


@settings(deadline=None, max_examples=300)
@example("x.lock.")
@example("a.lock/b")
@given(st.text(alphabet=ALPHABET, min_size=1, max_size=8))
def test_git_takes_whatever_is_taken(ref: str):
    try:
        taken = check_ref(ref)
    except RefError:
        return
    assert not taken or git_takes(taken)


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="aB9/.-_@{~lock", min_size=1, max_size=8))
def test_what_is_refused_git_refuses_too(ref: str):
    try:
        check_ref(ref)
    except RefError:
        assert ref == "@" or not git_takes(ref)  # git takes it for HEAD
