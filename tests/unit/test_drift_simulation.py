"""Simulated windows of a family's own rows: the verdict is silent without a drift, and names the
column with one. `benchmarks/drift.py` prints the same for all families."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.drift import (
    KINDS,
    SIZES,
    broken_of_fifty,
    false_alarms,
    found_in_two,
    labels_of,
    package_of,
    pool_of,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """2,000 described card transactions with their answers, and whether these were right."""
    package = package_of("tabular", tmp_path_factory.mktemp("package"))
    return pool_of(package) | labels_of("tabular", package)


@pytest.mark.parametrize("rows", SIZES)
def test_at_most_one_unchanged_window_of_a_hundred_raises_the_verdict(pool, rows):
    raised, alerts = false_alarms(pool, rows, 500, np.random.default_rng(1))
    assert raised <= 5
    assert alerts == 0


@pytest.mark.parametrize("what", KINDS)
def test_a_drift_of_each_kind_is_raised_within_two_windows_by_its_column(pool, what):
    kind = KINDS[what]
    name = kind.of(pool)
    assert name is not None
    share, others = found_in_two(pool, kind, name, 200, np.random.default_rng(2))
    assert share >= 0.95
    assert others <= 0.02


def test_an_empty_column_of_fifty_is_the_only_one_that_is_named(pool):
    assert broken_of_fifty(pool, 100, np.random.default_rng(3)) >= 0.95
