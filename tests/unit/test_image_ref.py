import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.image_ref import ImageRefError, check_image

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "image",
    [
        "busybox", "python:3.11-slim", "library/python", "registry.example/team/app_x:1.0", "localhost:5000/a/b__c:_t",
        "a-b.c--d/e",
        f"busybox@{DIGEST}", f"host.example:443/a:tag@{DIGEST}", "[2001:db8::1]:5000/a", "a:" + "t" * 128, "a" * 255,
    ],
)  # fmt: skip
def test_names_tags_and_digests_are_taken(image: str):
    assert check_image(image) == image


@pytest.mark.parametrize(
    "image",
    [
        "", " ", "--privileged", "-a", "../x", "./x", "/x", "x/", "a//b", "a/../b", "Upper", "a_", "a___b",
        "a..b", "a b",
        "x:", "x:-t", "x:latest@sha256:short", f"x@{DIGEST.upper()}", f"x@{DIGEST}0", "x@sha512:" + "0" * 128,
        "a\n", "\na",
        "a\0", "a:t:u", "a@", "docker://a", "a:" + "t" * 129, "a" * 256, "\u00fcber", "a?b", "a;b", "$(id)",
        "a" * 100_000,
    ],
)  # fmt: skip
def test_anything_else_is_refused(image: str):
    with pytest.raises(ImageRefError) as caught:
        check_image(image)
    assert caught.value.code == "image.syntax"
    assert len(str(caught.value)) < 500


@given(st.text(alphabet="aA0._-/:@[]", max_size=40))
def test_what_is_taken_is_no_option_and_leads_nowhere_up(image: str):
    try:
        check_image(image)
    except ImageRefError:
        return
    assert image[0] not in "-./"
    assert not {"", ".", ".."} & set(image.split("/"))
