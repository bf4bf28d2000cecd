"""Texts that go through a graph at once: alike in length, and few enough for a cache."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.kit.text.groups import TOKENS, similar


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param([208] * 64, id="long"),
        pytest.param([3] * 64, id="short"),
        pytest.param([5, 208, 6, 190, 7, 60] * 10, id="mixed"),
        pytest.param([2 * TOKENS, 1, 2 * TOKENS], id="longer than a call"),
        pytest.param([0, 0], id="empty"),
    ],
)
def test_each_text_is_in_one_group_of_its_length_and_of_few_tokens(counts):
    counts = np.array(counts)
    groups = list(similar(counts, 64))
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(counts)))
    for rows in groups:
        longest, shortest = counts[rows].max(), counts[rows].min()
        assert counts[rows[-1]] == longest
        assert longest <= 1.25 * shortest + 8
        assert len(rows) == 1 or len(rows) * longest <= TOKENS


def test_short_texts_are_one_call():
    assert len(list(similar(np.full(64, 20), 64))) == 1


def test_a_group_has_at_most_as_many_as_are_allowed():
    assert [len(rows) for rows in similar(np.ones(5, int), 2)] == [2, 2, 1]
