"""Each field of a request has the control that fits it."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, Field

from modelyard.serving.page.form import Control, controls


class Corner(BaseModel):
    x: float


class Everything(BaseModel):
    width: float = Field(alias="the width")
    count: int | None = None
    on: bool = True
    colour: Literal["red", "blue"]
    name: str = Field(description="Who")
    story: str
    picture: str = Field(
        json_schema_extra={"contentEncoding": "base64", "contentMediaType": "image/*"}
    )
    sound: str = Field("", json_schema_extra={"contentEncoding": "base64"})
    user: int | str | None = None
    corner: Corner
    corners: list[Corner] = []
    mixed: Corner | float = 0.0


EXAMPLE = {"name": "Ada", "story": "once upon a time, and so on until the end of it"}


@pytest.fixture(scope="module")
def found() -> dict[str, Control]:
    return {one.name: one for one in controls(Everything.model_json_schema(by_alias=True), EXAMPLE)}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("the width", "number"),
        ("count", "number"),
        ("on", "boolean"),
        ("colour", "choice"),
        ("name", "text"),
        ("story", "long"),
        ("picture", "file"),
        ("sound", "file"),
        ("user", "any"),
        ("corner", "json"),
        ("corners", "json"),
        ("mixed", "json"),
    ],
)
def test_the_control_fits_the_field(found, name, kind):
    assert found[name].kind == kind


def test_a_text_that_is_all_a_request_needs_has_several_lines():
    class Asked(BaseModel):
        text: str
        style: str = ""

    kinds = [one.kind for one in controls(Asked.model_json_schema(), {"text": "猫", "style": "x"})]
    assert kinds == ["long", "text"]


def test_a_control_knows_what_the_schema_says(found):
    assert list(found)[:3] == ["the width", "count", "on"]
    assert (found["count"].whole, found["the width"].whole) == (True, False)
    assert (found["the width"].required, found["count"].required) == (True, False)
    assert (found["on"].default, found["count"].default, found["user"].default) == (
        True,
        None,
        None,
    )
    assert found["colour"].choices == ["red", "blue"]
    assert (found["picture"].accept, found["sound"].accept) == ("image/*", "")
    assert found["name"].description == "Who"
