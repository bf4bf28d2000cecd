"""The positive class of two: what a person expects of its name, else the rarer one."""

from __future__ import annotations

import pytest

from modelyard.kit.classes.positive import positive_class


@pytest.mark.parametrize(
    ("positive", "other"),
    [
        ("yes", "no"),
        ("True", "False"),
        ("T", "F"),
        ("1", "0"),
        ("1.0", "-1.0"),
        ("Churned", "Active"),
        ("defect", "ok"),
        ("fraud", "not fraud"),
        ("Churned", "NotChurned"),
        ("defective", "non-defective"),
        ("malignant", "benign"),
        ("spam", "ham"),
        ("flu", "healthy"),
        ("krank", "gesund"),
        ("Disease", "No Disease"),
        ("irony", "non_irony"),
        ("Smoker", "not smoker"),
    ],
)
def test_a_name_that_means_the_event_is_positive_however_frequent(
    positive: str, other: str
) -> None:
    for counts in ({positive: 90, other: 10}, {other: 90, positive: 10}):
        found = positive_class(counts)
        assert (found.name, found.other) == (positive, other)
        assert "rarer" not in found.reason


@pytest.mark.parametrize(
    ("rarer", "other"),
    [("2", "0"), ("0", "2"), ("2", "1"), ("dog", "cat"), ("no show", "show"), ("left", "right")],
)
def test_names_that_mean_nothing_leave_the_rarer_class(rarer: str, other: str) -> None:
    found = positive_class({other: 200, rarer: 100})
    assert (found.name, found.reason) == (rarer, "the rarer one, 100 of 300")


def test_the_note_names_the_class_the_reason_and_how_to_change_it() -> None:
    found = positive_class({"ok": 3, "defect": 9})
    assert found.headline == "; positive class: defect (by its name)"
    assert "--set features.positive=ok" in found.note
    named = positive_class({"ok": 3, "defect": 9}, "ok")
    assert (named.name, named.other, named.reason) == ("ok", "defect", "set by features.positive")
    assert positive_class({"a": 5, "b": 5}).name == "b"
