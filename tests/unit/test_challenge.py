"""When a champion may have learned from what it is judged on."""

from __future__ import annotations

import pytest

from modelyard.stages.challenge import other_splits

NOW = {"data": {"split_seed": 0, "uri": "b.csv"}, "features": {"test_share": 0.2, "group": None}}


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (NOW, ""),
        (NOW | {"seed": 3, "data": {"split_seed": 0, "uri": "a.csv"}}, ""),
        (NOW | {"data": {"split_seed": 2}}, "data.split_seed was 2"),
        (NOW | {"data": {}}, "data.split_seed was not there"),
        (NOW | {"features": {"test_share": 0.1, "group": None}}, "features.test_share was 0.1"),
        (NOW | {"features": {"test_share": 0.2, "group": "shop"}}, "features.group was shop"),
    ],
)
def test_the_setting_that_drew_other_splits_is_named(before, said):
    assert other_splits(before, NOW) == said
