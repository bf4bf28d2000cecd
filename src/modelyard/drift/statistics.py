"""Do two samples of flat rows come from one distribution? Column by column, with numpy and
scipy."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from modelyard.errors import MissingExtra
from modelyard.settings.family import MonitorSettings

Columns = Mapping[str, Sequence[Any]]
"""Rows by column: numbers, text or None, as `Host.describe` gives them."""

Test = Literal["kolmogorov-smirnov", "chi-squared", "missing share", "presence", "type"]

SAMPLE_ROWS = 100_000
"""A column with more rows is compared on so many of them, drawn without replacement from a fixed
seed: D is then known within about 0.005, far below any effect worth an alarm."""
PERMUTATIONS = 9_999
"""Shuffles behind a categorical p-value where a category is too rare for the chi-squared
distribution."""
FAR_FROM_SIGNIFICANT = 0.3
"""Above it the chi-squared tail is believed without shuffling."""
LEAST_EXPECTED = 5
"""Expected count below which a category is pooled with the other rare ones (Cochran 1954)."""
OTHER = "(rare)"


class ColumnDrift(BaseModel):
    """One column, reference against current. `effect` and the p-values are those of the test
    that decided."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Literal["numeric", "category", "missing"]
    """`missing`: the reference holds no value in this column."""
    test: Test
    drifted: bool
    effect: float
    """0 to 1: Kolmogorov-Smirnov D, total variation distance, or the difference of the missing
    shares."""
    p_value: float
    adjusted_p: float
    """p-value after Benjamini-Hochberg over all tests of all columns."""
    missing_reference: float
    missing_current: float
    summary: str
    """What changed, in a line: `mean 12.1 → 19.4`."""


@dataclass(frozen=True)
class _Comparison:
    column: str
    test: Test
    effect: float
    p_value: float
    summary: str
    adjusted_p: float = 1.0
    drifted: bool = False


@dataclass(frozen=True)
class _Column:
    """The values of one column on one side, None and NaN taken out."""

    values: np.ndarray
    """float64 or text, shape (present,)."""
    rows: int

    @property
    def kind(self) -> Literal["numeric", "category", "missing"]:
        if not len(self.values):
            return "missing"
        return "numeric" if self.values.dtype.kind == "f" else "category"

    @property
    def missing(self) -> float:
        return 1 - len(self.values) / self.rows if self.rows else 0.0


def compare(reference: Columns, current: Columns, settings: MonitorSettings) -> list[ColumnDrift]:
    """Compares the columns of two samples; the most changed first.

    Numbers: two-sample Kolmogorov-Smirnov. Categories: Pearson's chi-squared with the rare ones
    pooled, by permutation where counts are small. Where values are missing, the missing shares are
    a test of their own. All p-values together are adjusted by Benjamini and Hochberg (1995) at
    `settings.alpha`. A column drifted when one of its tests is significant and that test's effect
    reaches `settings.min_effect`. A column that is gone, new or of another type drifted without a
    test.
    """
    sides: dict[str, tuple[_Column, _Column]] = {}
    comparisons: list[_Comparison] = []
    for name in [*reference, *(name for name in current if name not in reference)]:
        before = _column(reference.get(name))
        after = _column(current.get(name), numeric=before.kind == "numeric")
        sides[name] = before, after
        comparisons += _structure(name, reference, current, before, after) or _tests(
            name, before, after
        )
    judged = _judge(comparisons, settings)
    columns = [_decisive(name, *sides[name], judged) for name in sides]
    return sorted(columns, key=lambda column: (not column.drifted, -column.effect))


def _column(values: Sequence[Any] | None, numeric: bool = False) -> _Column:
    if values is None:
        return _Column(np.empty(0), 0)
    if len(values) > SAMPLE_ROWS:
        values = [values[index] for index in _sample(len(values))]
    present = [value for value in values if value is not None]
    if numeric or not {str, bool} & set(map(type, present)):
        try:
            # Numbers come back as text from a log in which a file had nothing but None in the
            # column.
            array = np.array(present, np.float64)
            return _Column(array[~np.isnan(array)], len(values))
        except ValueError:
            pass
    return _Column(np.array([str(value) for value in present], dtype=object), len(values))


@functools.lru_cache(maxsize=2)
def _sample(rows: int) -> list[int]:
    chosen: list[int] = np.random.default_rng(0).choice(rows, SAMPLE_ROWS, replace=False).tolist()
    return chosen


def _structure(
    name: str, reference: Columns, current: Columns, before: _Column, after: _Column
) -> list[_Comparison]:
    """What needs no test: a column that is gone, new or of another type."""
    if name not in current:
        return [_Comparison(name, "presence", 1.0, 0.0, "the column is gone")]
    if name not in reference:
        return [_Comparison(name, "presence", 1.0, 0.0, "the column is new")]
    if "missing" not in (before.kind, after.kind) and before.kind != after.kind:
        return [_Comparison(name, "type", 1.0, 0.0, f"was {before.kind}, now {after.kind}")]
    return []


def _tests(name: str, before: _Column, after: _Column) -> list[_Comparison]:
    tests = []
    if before.kind == after.kind == "numeric":
        tests.append(_numeric(name, before.values, after.values))
    elif before.kind == after.kind == "category":
        tests.append(_category(name, before.values, after.values))
    if before.missing or after.missing or not tests:
        summary = f"missing {_percent(before.missing)} → {_percent(after.missing)}"
        counts = np.array(
            [[len(side.values), side.rows - len(side.values)] for side in (before, after)]
        )
        effect = abs(before.missing - after.missing)
        tests.append(_Comparison(name, "missing share", effect, _chi_squared_p(counts), summary))
    return tests


def _numeric(name: str, before: np.ndarray, after: np.ndarray) -> _Comparison:
    """Two-sample Kolmogorov-Smirnov; ties make its p-value larger than it need be, never
    smaller."""
    x, y = np.sort(before), np.sort(after)
    both = np.concatenate([x, y])
    gaps = np.searchsorted(x, both, "right") / len(x) - np.searchsorted(y, both, "right") / len(y)
    effect = float(np.abs(gaps).max())
    size = max(1, round(len(x) * len(y) / (len(x) + len(y))))
    p_value = float(_stats().kstwo.sf(effect, size))
    return _Comparison(name, "kolmogorov-smirnov", effect, p_value, _moved(x, y))


def _category(name: str, before: np.ndarray, after: np.ndarray) -> _Comparison:
    old, new = Counter(before.tolist()), Counter(after.tolist())
    smaller = min(len(before), len(after)) / (len(before) + len(after))
    kept = sorted(
        value for value in old | new if (old[value] + new[value]) * smaller >= LEAST_EXPECTED
    )
    rows = [[side[value] for value in kept] for side in (old, new)]
    counts = np.array(
        [[*row, side.total() - sum(row)] for row, side in zip(rows, (old, new), strict=True)]
    )
    shares = counts / counts.sum(axis=1, keepdims=True)
    change = shares[1] - shares[0]
    most = int(np.abs(change).argmax())
    value = [*kept, OTHER][most]
    known = "" if shares[0, most] else "new value "
    summary = f"{known}{_short(value)!r} {_percent(shares[0, most])} → {_percent(shares[1, most])}"
    return _Comparison(
        name, "chi-squared", float(np.abs(change).sum() / 2), _chi_squared_p(counts), summary
    )


def _chi_squared_p(counts: np.ndarray) -> float:
    """p-value of Pearson's chi-squared for `counts[side, category]`, shape (2, k).

    With an expected count under 5 the statistic is held against shuffled rows: (b + 1) / (B + 1)
    after Phipson and Smyth (2010). Beyond what B shuffles can resolve, the chi-squared tail takes
    over.
    """
    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < 2 or not counts.sum(axis=1).all():
        return 1.0
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    statistic = float(((counts - expected) ** 2 / expected).sum())
    tail = float(_stats().chi2.sf(statistic, counts.shape[1] - 1))
    if expected.min() >= LEAST_EXPECTED or tail > FAR_FROM_SIGNIFICANT:
        return tail
    totals = counts.sum(axis=0)
    draw = np.random.default_rng(0).multivariate_hypergeometric
    shuffled = draw(totals, int(counts[1].sum()), size=PERMUTATIONS, method="marginals")
    statistics = ((shuffled - expected[1]) ** 2 * (1 / expected[0] + 1 / expected[1])).sum(axis=1)
    reached = int((statistics >= statistic * (1 - 1e-9)).sum())
    return (reached + 1) / (PERMUTATIONS + 1) if reached else min(tail, 1 / (PERMUTATIONS + 1))


def _judge(comparisons: list[_Comparison], settings: MonitorSettings) -> list[_Comparison]:
    tested = [comparison.p_value for comparison in comparisons if not _certain(comparison)]
    adjusted = iter(_stats().false_discovery_control(tested, method="bh") if tested else [])
    judged = []
    for comparison in comparisons:
        p = 0.0 if _certain(comparison) else float(next(adjusted))
        drifted = _certain(comparison) or (
            p <= settings.alpha and comparison.effect >= settings.min_effect
        )
        judged.append(replace(comparison, adjusted_p=p, drifted=drifted))
    return judged


def _certain(comparison: _Comparison) -> bool:
    return comparison.test in ("presence", "type")


def _decisive(name: str, before: _Column, after: _Column, judged: list[_Comparison]) -> ColumnDrift:
    mine = [comparison for comparison in judged if comparison.column == name]
    best = min(mine, key=lambda one: (not one.drifted, one.adjusted_p, -one.effect))
    return ColumnDrift(
        name=name,
        kind=before.kind if before.rows else after.kind,
        test=best.test,
        drifted=best.drifted,
        effect=best.effect,
        p_value=best.p_value,
        adjusted_p=best.adjusted_p,
        missing_reference=before.missing,
        missing_current=after.missing,
        summary=best.summary,
    )


def _moved(x: np.ndarray, y: np.ndarray) -> str:
    """The means, or the middle halves where their width changed by more than the mean moved; x
    and y are sorted."""
    with np.errstate(invalid="ignore", over="ignore"):
        before, after = float(x.mean()), float(y.mean())
        (a, b), (c, d) = (np.percentile(side, (25, 75), method="nearest") for side in (x, y))
        wider = abs((d - c) - (b - a)) / 2
    if math.isfinite(after - before) and abs(after - before) >= wider:
        return f"mean {before:.3g} → {after:.3g}"
    return f"middle half {a:.3g}…{b:.3g} → {c:.3g}…{d:.3g}"


def _percent(share: float) -> str:
    return f"{share:.1%}" if 0 < share < 0.1 else f"{share:.0%}"


def _short(value: str) -> str:
    return value if len(value) <= 40 else value[:39] + "…"


def _stats() -> Any:
    try:
        from scipy import stats
    except ModuleNotFoundError:
        raise MissingExtra("drift detection", "monitor") from None
    return stats
