"""One broken column of fifty is an alert of its own, and chance never is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from modelyard.drift.alerts import cautions
from modelyard.drift.verdict import Verdict, Window, judge
from modelyard.predictions.window import Seen
from modelyard.settings.monitor import MonitorSettings

WINDOW = Window(since="2026-01-01T00:00:00+00:00", until="2026-01-02T00:00:00+00:00")
SPARING = MonitorSettings(share=0.1)
"""One column of fifty is no drift of the data."""


def fifty(rng: np.random.Generator, rows: int) -> dict[str, list]:
    """Columns among which some are nearly constant, nearly empty, or have rare values."""

    def gaps(share: float) -> list:
        numbers = rng.normal(size=rows)
        numbers[rng.random(rows) < share] = np.nan
        return numbers.tolist()

    makers: list[Callable[[], list]] = [
        lambda: rng.normal(size=rows).tolist(),
        lambda: rng.choice(["a", "b", "c"], rows, p=[0.9, 0.09, 0.01]).tolist(),
        lambda: gaps(0.05),
        lambda: gaps(0.97),
        lambda: rng.choice([0.0, 1.0], rows, p=[0.995, 0.005]).tolist(),
        lambda: rng.choice(["usual", "odd"], rows, p=[0.99, 0.01]).tolist(),
        lambda: [f"id-{number}" for number in rng.integers(0, 500, rows)],
        lambda: [f"v{min(value, 10**6)}" for value in rng.zipf(1.5, rows).tolist()],
    ]
    return {f"c{at}": makers[at % len(makers)]() for at in range(50)}


def verdict(before, after, settings=SPARING) -> Verdict:
    return judge(before, after, settings, family="f", package="p", digest="d", window=WINDOW)


Break = Callable[[np.random.Generator, list], list]
BROKEN: dict[str, tuple[str, Break, str, str]] = {
    "numbers stop": ("c0", lambda rng, values: [None] * len(values), "empty", "missing 0% → 100%"),
    "text stops": ("c1", lambda rng, values: [None] * len(values), "empty", "missing 0% → 100%"),
    "missing triples": (
        "c2",
        lambda rng, values: [None if rng.random() < 0.12 else value for value in values],
        "missing",
        "missing ",
    ),
    "a number is stuck": (
        "c0",
        lambda rng, values: [0.25] * len(values),
        "constant",
        "always 0.25",
    ),
    "a text is stuck": ("c1", lambda rng, values: ["a"] * len(values), "constant", "always 'a'"),
    "numbers become text": (
        "c0",
        lambda rng, values: ["n/a", *values[1:]],
        "new type",
        "was numeric, now category",
    ),
    "another unit": ("c0", lambda rng, values: [9 * v + 9 for v in values], "other values", "mean"),
    "other codes": (
        "c1",
        lambda rng, values: [value.upper() for value in values],
        "other values",
        "",
    ),
    "other ids": ("c6", lambda rng, values: ["n" + value for value in values], "other values", ""),
}


@pytest.mark.parametrize("rows", [200, 2_000])
@pytest.mark.parametrize("kind", BROKEN)
def test_one_broken_column_of_fifty_is_an_alert_where_the_data_is_stable(kind, rows):
    name, change, what, summary = BROKEN[kind]
    if (kind, rows) == ("missing triples", 200):
        pytest.skip("5 % and 15 % of 200 rows are not apart beyond doubt")
    rng = np.random.default_rng(1)
    before, after = fifty(rng, 2_000), fifty(rng, rows)
    after[name] = change(rng, after[name])
    found = verdict(before, after)
    assert found.status == "stable"
    assert [(one.column, one.what) for one in found.alerts] == [(name, what)]
    assert found.alerts[0].summary.startswith(summary)
    assert found.asides()[0].startswith(f"alert: {name} ")


@pytest.mark.parametrize("windows", [5, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("rows", [50, 500, 5_000])
@pytest.mark.parametrize("reference", [200, 2_000])
def test_unchanged_columns_raise_no_alert(reference, rows, windows):
    rng = np.random.default_rng(2)
    for _ in range(windows):
        assert verdict(fifty(rng, reference), fifty(rng, rows)).alerts == []


def test_a_column_that_moved_a_little_is_drift_and_no_alert():
    rng = np.random.default_rng(3)
    before, after = fifty(rng, 2_000), fifty(rng, 2_000)
    after["c0"] = [value + 0.5 for value in after["c0"]]
    found = verdict(before, after)
    assert [column.name for column in found.drifted] == ["c0"]
    assert found.alerts == []


def test_a_column_that_was_always_constant_is_no_alert():
    same = {"a": [1.0] * 500, "b": ["x"] * 500, "c": [None] * 500}
    assert verdict(same, same).alerts == []


def test_a_nearly_constant_column_needs_many_rows_to_be_stuck():
    before = {"flag": [0.0] * 1_980 + [1.0] * 20}
    assert verdict(before, {"flag": [0.0] * 200}).alerts == []
    found = verdict(before, {"flag": [0.0] * 5_000}).alerts
    assert [(one.column, one.what) for one in found] == [("flag", "constant")]


def test_an_alert_survives_json():
    found = verdict({"a": [1.0, 2.0] * 200}, {"a": [None] * 200})
    assert found.alerts
    assert Verdict.model_validate_json(found.model_dump_json()) == found


def test_many_alerts_are_counted_on_the_line():
    rng = np.random.default_rng(4)
    before = {f"c{at}": rng.normal(size=300).tolist() for at in range(9)}
    after = {name: [None] * 300 for name in before}
    (line,) = verdict(before, after).asides()
    assert line.count("is empty") == 5
    assert line.endswith(" and 4 more")


def test_repeated_rows_are_a_caution_only_where_the_reference_has_far_fewer():
    seen = Seen(place="log", rows=1_000)
    assert cautions(0.0, 0.09, seen) == []
    assert cautions(0.3, 0.6, seen) == []
    assert cautions(0.01, 0.3, seen)[0].startswith("30% of the rows repeat another one near by")


def test_late_rows_are_a_caution_above_one_in_a_hundred():
    assert cautions(0.0, 0.0, Seen(place="log", rows=1_000, late=10)) == []
    (said,) = cautions(0.0, 0.0, Seen(place="log", rows=900, outside=100, late=20))
    assert said.startswith("2.0% of the rows are more than an hour older")
