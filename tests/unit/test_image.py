"""What becomes of a request's image, on an engine that has images and on one that has none."""

import pytest
from msgspec import structs

from tests.unit.specs import ANYTHING, SETTINGS, Body, refusal, spec_of

NO_IMAGES = structs.replace(ANYTHING, name="local", foreign_images=False)


@pytest.mark.parametrize(("body", "image"), [({}, SETTINGS.agent_container_image), ({"image": "node:22"}, "node:22")])
async def test_an_image_is_the_request_s_or_the_operator_s(body: Body, image: str):
    assert (await spec_of(body)).image == image


async def test_an_engine_without_images_has_none_and_refuses_one_with_the_reason():
    assert (await spec_of({}, can=NO_IMAGES)).image == ""
    code, field, message = await refusal({"image": "node:22"}, can=NO_IMAGES)
    assert (code, field) == ("image.foreign", "image")
    assert "engine local" in message
    assert "a Dagger engine runs images" in message


async def test_what_is_no_image_is_said_to_be_none_on_any_engine():
    assert (await refusal({"image": "--privileged"}, can=NO_IMAGES))[0] == "image.syntax"
