"""Options that errors tell to type work as they stand."""

from __future__ import annotations

import shlex

import pytest

from modelyard.errors import option
from modelyard.settings.family import parse_assignments


@pytest.mark.parametrize(
    "name",
    [
        "age",
        "Units Sold",
        "Zähler",
        "it's",
        "a,b",
        "[x]",
        "c: d",
        "1",
        "true",
        "a #b",
        "$HOME",
        "'",
    ],
)
def test_a_list_with_any_name_arrives_as_it_is(name: str) -> None:
    _, pair = shlex.split(option("features.drop", [name, "other"]))
    assert parse_assignments([pair]) == {"features": {"drop": [name, "other"]}}


@pytest.mark.parametrize("name", ["age", "Units Sold", "Zähler", "it's", "a,b", "$HOME"])
def test_a_name_arrives_as_it_is(name: str) -> None:
    _, pair = shlex.split(option("features.target", name))
    assert parse_assignments([pair]) == {"features": {"target": name}}


def test_plain_names_need_no_quotes() -> None:
    assert option("features.drop", ["age", "last_seen"]) == "--set 'features.drop=[age, last_seen]'"
    assert option("features.drop", ["age"]) == "--set features.drop=[age]"
