"""The described row keeps every input and every field of the answer."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from modelyard.host import LOG_COLUMNS, described
from modelyard.predictions.log import unlogged


def test_names_that_do_not_clash_stay_as_they_are() -> None:
    row = described({"age": 1.0, "city": None}, {"score": 0.5, "label": "yes"})
    assert list(row.items()) == [("age", 1.0), ("city", None), ("score", 0.5), ("label", "yes")]


@pytest.mark.parametrize(
    ("inputs", "answer", "names"),
    [
        (["score"], ["score"], ["score", "answer.score"]),
        (["Score"], ["score"], ["Score", "answer.score"]),
        (["Age", "age"], ["value"], ["Age", "input.age", "value"]),
        (["score", "answer.score"], ["score"], ["score", "answer.score", "answer.answer.score"]),
        (["_id", "input._id"], ["_ID"], ["input._id", "input.input._id", "answer._ID"]),
        (list(LOG_COLUMNS), [], [f"input.{name}" for name in LOG_COLUMNS]),
    ],
)
def test_names_that_clash_say_whose_they_are(
    inputs: list[str], answer: list[str], names: list[str]
) -> None:
    values = [float(number) for number in range(len(names))]
    given, own = values[: len(inputs)], values[len(inputs) :]
    row = described(
        dict(zip(inputs, given, strict=True)),
        dict(zip(answer, own, strict=True)),
    )
    assert row == dict(zip(names, values, strict=True))


def test_a_sensitive_input_is_not_logged_under_its_other_name() -> None:
    class Request(BaseModel):
        card: str

    host: Any = type("SomeHost", (), {"Request": Request, "sensitive": frozenset({"card", "_id"})})
    assert described({"_id": "4111"}, {}).keys() <= unlogged(host)


def test_what_is_derived_of_an_input_does_not_replace_another_input() -> None:
    row = described({"note: words": 7.0}, {"score": 1.0}, {"note: words": 3.0, "Score": 2.0})
    assert row == {
        "note: words": 7.0,
        "derived.note: words": 3.0,
        "Score": 2.0,
        "answer.score": 1.0,
    }
