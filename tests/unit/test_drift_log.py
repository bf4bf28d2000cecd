from __future__ import annotations

from pathlib import Path

from modelyard.predictions.served import comparable
from tests.toy.family import LineHost


class Shy(LineHost):
    sensitive = frozenset({"x"})


def test_a_column_that_the_log_left_out_is_empty_not_gone():
    before, after = comparable(
        {"x": [1.0] * 3, "y": [2.0] * 3}, {"x": [1.0, 1.0]}, LineHost(Path())
    )
    assert before == {"x": [1.0] * 3, "y": [2.0] * 3}
    assert after == {"x": [1.0, 1.0], "y": [None, None]}


def test_a_new_column_is_kept():
    assert comparable({"x": [1.0]}, {"x": [1.0], "z": [3.0]}, LineHost(Path()))[1] == {
        "x": [1.0],
        "z": [3.0],
    }


def test_what_must_not_be_logged_is_on_neither_side():
    assert comparable({"x": [1.0], "y": [2.0]}, {"y": [3.0]}, Shy(Path())) == (
        {"y": [2.0]},
        {"y": [3.0]},
    )


def test_a_field_that_must_not_be_logged_is_hidden_by_its_alias_too():
    from tests.service.payments import PaymentHost

    seen = comparable(
        {"card country": ["DE"], "y": [2.0]},
        {"card_country": ["FR"], "y": [3.0]},
        PaymentHost(Path()),
    )
    assert seen == ({"y": [2.0]}, {"y": [3.0]})
