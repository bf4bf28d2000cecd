from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from modelyard.drift.measures import OTHER, new_values
from modelyard.drift.statistics import ColumnDrift, compare
from modelyard.drift.verdict import Window, judge
from modelyard.settings.monitor import MonitorSettings

SETTINGS = MonitorSettings()
WINDOW = Window(since="2026-01-01T00:00:00+00:00", until="2026-01-02T00:00:00+00:00")


def numbers(rng, n, **kinds):
    return rng.normal(size=n, **kinds).tolist()


def gaps(rng, values, share):
    return [
        None if missing else value
        for value, missing in zip(values, rng.random(len(values)) < share, strict=True)
    ]


def table(rng, rows: int, columns: int = 30) -> dict[str, list]:
    """Columns of five shapes: normal, skewed, categories with rare ones, few distinct numbers,
    with gaps."""
    shares = [0.4, 0.3, 0.15, 0.1, 0.03, 0.01, 0.007, 0.003]
    makers = [
        lambda: numbers(rng, rows),
        lambda: rng.lognormal(size=rows).tolist(),
        lambda: rng.choice(list("abcdefgh"), rows, p=shares).tolist(),
        lambda: rng.integers(0, 4, rows).astype(float).tolist(),
        lambda: gaps(rng, numbers(rng, rows), 0.05),
    ]
    return {f"c{number}": makers[number % len(makers)]() for number in range(columns)}


def one(before, after, settings: MonitorSettings = SETTINGS) -> ColumnDrift:
    (column,) = compare({"c": before}, {"c": after}, settings)
    return column


def verdict(before, after, settings: MonitorSettings = SETTINGS):
    return judge(before, after, settings, family="f", package="p", digest="d", window=WINDOW)


@pytest.mark.parametrize(
    ("rows", "samples", "allowed"), [(200, 200, 4), (60, 50, 1), (4000, 25, 1)]
)
def test_at_most_two_in_a_hundred_unshifted_samples_raise_an_alarm(rows, samples, allowed):
    rng = np.random.default_rng(1)
    settings = MonitorSettings(
        min_effect=0.0
    )  # the tests alone, without the help of the least effect
    alarms = [
        any(column.drifted for column in compare(table(rng, 1000), table(rng, rows), settings))
        for _ in range(samples)
    ]
    assert sum(alarms) <= allowed


def test_a_shift_in_one_of_thirty_columns_is_found_in_200_rows():
    rng = np.random.default_rng(2)
    found = []
    for name in ("c0", "c2", "c4"):
        hits = 0
        for _ in range(10):
            before, after = table(rng, 1000), table(rng, 200)
            if name == "c2":
                after[name] = rng.choice(list("abcd"), 200, p=[0.2, 0.3, 0.2, 0.3]).tolist()
            else:
                after[name] = [None if value is None else value + 0.7 for value in after[name]]
            hits += [
                column.name for column in compare(before, after, SETTINGS) if column.drifted
            ] == [name]
        found.append(hits)
    assert min(found) >= 9


def test_kolmogorov_smirnov_agrees_with_scipy_ties_included():
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(3)
    for before, after in [
        (numbers(rng, 300), numbers(rng, 200, loc=0.3)),
        (rng.integers(0, 5, 300).astype(float), rng.integers(0, 6, 80).astype(float)),
    ]:
        expected = ks_2samp(before, after, method="asymp")
        column = one(list(before), list(after))
        assert column.effect == pytest.approx(expected.statistic)
        assert column.p_value == pytest.approx(expected.pvalue, rel=1e-6)


def test_one_value_above_all_others_is_chance():
    from scipy.stats import ks_2samp

    before = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0] * 20
    column = one(before, [9.0])
    assert column.effect == 1
    assert column.p_value == pytest.approx(ks_2samp(before, [9.0], method="exact").pvalue)


def test_chi_squared_agrees_with_scipy_where_counts_are_large():
    from scipy.stats import chi2_contingency

    before, after = ["a"] * 300 + ["b"] * 200 + ["c"] * 100, ["a"] * 90 + ["b"] * 90 + ["c"] * 20
    column = one(before, after)
    assert column.p_value == pytest.approx(chi2_contingency([[300, 200, 100], [90, 90, 20]]).pvalue)
    assert column.effect == pytest.approx(
        (abs(0.5 - 0.45) + abs(1 / 3 - 0.45) + abs(1 / 6 - 0.1)) / 2
    )


def test_rare_categories_are_held_against_shuffles_as_fishers_exact_test_is():
    from scipy.stats import fisher_exact

    before, after = ["a"] * 95 + ["b"] * 5, ["a"] * 16 + ["b"] * 4
    exact = fisher_exact([[95, 5], [16, 4]]).pvalue
    assert one(before, after).p_value == pytest.approx(exact, rel=0.15)


def test_a_new_category_is_named():
    column = one(["red"] * 500 + ["blue"] * 500, ["red"] * 60 + ["blue"] * 60 + ["violet"] * 80)
    assert column.drifted
    assert column.summary == "new value 'violet' 0% → 40%"


def test_a_new_category_among_few_rows_is_drift_too():
    column = one(["red"] * 1000 + ["blue"] * 1000, ["red"] * 20 + ["blue"] * 20 + ["violet"] * 20)
    assert column.drifted
    assert column.p_value < 0.001


def test_ids_that_never_repeat_are_not_drift():
    column = one([f"old-{n}" for n in range(1000)], [f"new-{n}" for n in range(300)])
    assert not column.drifted
    assert column.effect == 0


IDS = [f"id-{number}" for number in range(2_000)]
CATEGORIES = [f"category-{number}" for number in range(400)]

Draw = Callable[[np.random.Generator, int], list]


def drawn(values, shares=None, prefix: str = "") -> Draw:
    return lambda rng, rows: [prefix + value for value in rng.choice(values, rows, p=shares)]


def with_gaps(share: float) -> Draw:
    return lambda rng, rows: gaps(rng, numbers(rng, rows), share)


CHANGES: dict[str, tuple[Draw, Draw]] = {
    "the variance doubles": (numbers, lambda rng, rows: numbers(rng, rows, scale=2**0.5)),
    "ids are replaced": (drawn(IDS), drawn(IDS, prefix="new-")),
    "categories are replaced": (drawn(CATEGORIES), drawn(CATEGORIES, prefix="new-")),
    "all rows have one new value": (drawn(IDS), drawn(["NEW"])),
    "a new category of 5 %": (drawn(["a", "b"]), drawn(["a", "b", "c"], [0.475, 0.475, 0.05])),
    "missing 5 to 15 %": (with_gaps(0.05), with_gaps(0.15)),
}


@pytest.mark.parametrize("simulations", [10, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_each_kind_is_seen_in_2000_rows(change, simulations):
    rng = np.random.default_rng(20)
    before, after = CHANGES[change]
    columns = [one(before(rng, 2_000), after(rng, 2_000)) for _ in range(simulations)]
    assert sum(column.drifted for column in columns) >= 0.95 * simulations


def test_a_window_of_one_new_value_is_drift_among_fifty_rows_too():
    rng = np.random.default_rng(21)
    column = one(drawn(IDS)(rng, 2_000), ["NEW"] * 50)
    assert (column.drifted, column.test) == (True, "new values")
    assert column.summary == "new value 'NEW' 0% → 100%"


def mixed(rng: np.random.Generator, rows: int) -> dict[str, list]:
    """Columns of every kind that a test could be wrong about."""
    return {
        "normal": numbers(rng, rows),
        "heavy tails": rng.standard_cauchy(rows).tolist(),
        "counts": rng.poisson(2, rows).astype(float).tolist(),
        "flag": rng.choice([0.0, 1.0], rows).tolist(),
        "few": drawn(["a", "b", "c"], [0.6, 0.3, 0.1])(rng, rows),
        "ids": drawn(IDS)(rng, rows),
        "categories": drawn(CATEGORIES)(rng, rows),
        "power law": [f"v{min(value, 10**6)}" for value in rng.zipf(1.5, rows).tolist()],
        "gaps": with_gaps(0.05)(rng, rows),
    }


@pytest.mark.parametrize("simulations", [20, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("reference", [200, 2_000, 20_000])
@pytest.mark.parametrize("rows", [100, 1_000, 20_000])
def test_unchanged_traffic_raises_no_alarm(reference, rows, simulations):
    rng = np.random.default_rng(22)
    simulations = simulations if reference + rows < 20_000 else simulations // 4
    alarms = [
        [
            column.name
            for column in compare(mixed(rng, reference), mixed(rng, rows), SETTINGS)
            if column.drifted
        ]
        for _ in range(simulations)
    ]
    assert sum(map(bool, alarms)) <= max(1, 0.01 * simulations), alarms


def test_the_bound_of_new_values_is_no_smaller_than_what_shuffles_give():
    rng = np.random.default_rng(23)
    pooled = np.array(drawn(CATEGORIES)(rng, 600))
    for _ in range(5):
        shuffled = rng.permutation(pooled)
        finding = new_values(Counter(shuffled[:400]), Counter(shuffled[400:]))
        seen = np.isin(shuffled[400:], shuffled[:400], invert=True).sum()
        divisions = [rng.permutation(pooled) for _ in range(200)]
        reached = [np.isin(one[400:], one[:400], invert=True).sum() >= seen for one in divisions]
        assert finding.p_value >= np.mean(reached) - 0.1


def test_many_rows_do_not_turn_a_trifle_into_drift():
    rng = np.random.default_rng(4)
    column = one(numbers(rng, 50_000), numbers(rng, 50_000, loc=0.05))
    assert column.adjusted_p < 1e-6
    assert not column.drifted


@pytest.mark.parametrize("value", [3.5, "x", None])
def test_a_column_that_never_changes_is_stable(value):
    column = one([value] * 200, [value] * 100)
    assert not column.drifted
    assert column.effect == 0
    assert column.p_value == 1


def test_a_constant_that_takes_another_value_drifted():
    assert one([3.5] * 200, [4.5] * 100).drifted
    assert one(["x"] * 200, ["y"] * 100).drifted


def test_missing_values_are_a_test_of_their_own():
    rng = np.random.default_rng(5)
    column = one(numbers(rng, 500), gaps(rng, numbers(rng, 300), 0.4))
    assert column.test == "missing share"
    assert column.drifted
    assert (column.missing_reference, column.effect) == (0, column.missing_current)
    assert column.summary.startswith("missing 0% → ")


def test_a_column_that_goes_empty_drifted_and_keeps_its_type():
    for before in (numbers(np.random.default_rng(6), 100), ["a", "b"] * 50):
        column = one(before, [None] * 60)
        assert column.drifted
        assert column.summary == "missing 0% → 100%"
        assert column.kind == ("numeric" if isinstance(before[0], float) else "category")


def test_nan_counts_as_missing():
    assert one([1.0, 2.0] * 50, [1.0, float("nan")] * 50).missing_current == 0.5


def test_columns_that_are_gone_new_or_of_another_type_are_told():
    before = {"gone": [1.0] * 60, "retyped": [1.0] * 60, "same": [1.0] * 60}
    after = {"retyped": ["one"] * 60, "same": [1.0] * 60, "fresh": ["a"] * 60}
    told = {
        column.name: (column.test, column.drifted, column.summary)
        for column in compare(before, after, SETTINGS)
    }
    assert told == {
        "gone": ("presence", True, "the column is gone"),
        "fresh": ("presence", True, "the column is new"),
        "retyped": ("type", True, "was numeric, now category"),
        "same": ("kolmogorov-smirnov", False, "mean 1 → 1"),
    }


def test_numbers_that_come_back_as_text_are_numbers():
    rng = np.random.default_rng(7)
    column = one(numbers(rng, 200), [str(value) for value in numbers(rng, 100)])
    assert (column.test, column.drifted) == ("kolmogorov-smirnov", False)


def test_the_summary_tells_the_mean_or_the_spread_whichever_moved():
    rng = np.random.default_rng(8)
    assert one([10.0, 14.0] * 100, [18.0, 22.0] * 50).summary == "mean 12 → 20"
    assert one(numbers(rng, 500), numbers(rng, 500, scale=4)).summary.startswith("middle half ")


def test_too_few_rows_are_no_verdict():
    before = {"c": [0.0] * 500}
    told = verdict(before, {"c": [9.0] * 49})
    assert (told.status, told.columns, told.drifted) == ("too few rows", [], [])
    assert told.reason == "too few rows: 49 in 24 h, at least 50 are needed"
    assert verdict(before, {"c": [9.0] * 50}).status == "drifted"
    assert verdict(before, {}).status == "no rows"


def test_the_data_drifted_when_more_than_the_share_of_its_columns_did():
    before = {"a": [0.0] * 100, "b": [0.0] * 100}
    after = {"a": [1.0] * 100, "b": [0.0] * 100}
    assert verdict(before, after).reason == "drifted: a (D 1.00)"
    spared = verdict(before, after, MonitorSettings(share=0.5))
    assert (spared.status, spared.reason) == (
        "stable",
        "stable over 100 rows; a (D 1.00): not over 50% of the columns",
    )


def test_a_verdict_survives_json():
    told = verdict({"a": [0.0] * 100, "b": ["x"] * 100}, {"a": [1.0] * 100, "b": [None] * 100})
    assert type(told).model_validate_json(told.model_dump_json()) == told


def test_rare_categories_are_pooled_under_one_name():
    rare = [f"r{number}" for number in range(30)]
    column = one(["a"] * 485 + ["b"] * 485 + rare, ["a"] * 30 + ["b"] * 30 + rare * 2)
    assert column.drifted
    assert column.summary == f"{OTHER!r} 3.0% → 50%"
