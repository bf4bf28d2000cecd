"""The tests of one column, each with its p-value and an effect from 0 to 1 of its own.

A test answers "is it another distribution?", its effect "by how much?". Each is blind to some
change, so a column takes several: Kolmogorov-Smirnov to a spread that grows around the same
middle, chi-squared to values that are all rare.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from modelyard.drift.columns import Column
from modelyard.errors import MissingExtra

Test = Literal[
    "kolmogorov-smirnov",
    "spread",
    "chi-squared",
    "new values",
    "missing share",
    "presence",
    "type",
]

WEIGHTS: dict[Test, float] = {
    "kolmogorov-smirnov": 1.0,
    "spread": 2.0,
    "chi-squared": 1.0,
    "new values": 0.2,
    "missing share": 0.5,
}
"""The least effect of each test, in units of `monitor.min_effect`: 2 % of new values matter as much
as a spread that shrinks by 20 %."""
FULL_ROWS = 1_000
"""Harmonic mean of the rows (n m / (n + m)) up to which the whole least effect is required. With
more rows an effect is known more exactly, and a smaller one is required: down to half."""
PERMUTATIONS = 9_999
"""Shuffles behind a categorical p-value where a category is too rare for the chi-squared
distribution."""
MOST_SHUFFLED = 10**9
"""Rows that numpy draws from without replacement."""
FAR_FROM_SIGNIFICANT = 0.3
"""Above it the chi-squared tail is believed without shuffling."""
LEAST_EXPECTED = 5
"""Expected count below which a category is pooled with the other rare ones (Cochran 1954)."""
OTHER = "(rare)"
GONE = "the column is gone"
ROUNDING = 1e-9
"""A smaller effect is none: where every value is new, as many are expected, but for rounding."""


@dataclass(frozen=True)
class Finding:
    """What one test found in one column."""

    test: Test
    effect: float
    p_value: float
    summary: str
    least: float = 0.0
    """The least effect that matters, in units of `monitor.min_effect`."""


def findings(before: Column, after: Column) -> list[Finding]:
    """Every test that applies to the column's kind."""
    found: list[Finding] = []
    if before.kind == after.kind == "numeric":
        found += [_distance(before, after), _spread(before.numbers, after.numbers)]
    elif before.kind == after.kind == "category":
        old, new = before.counts, after.counts
        found += [_shares(old, new), new_values(old, new)]
    if before.missing or after.missing or not found:
        found.append(_missing(before, after))
    return found


def required(test: Test, before: int, after: int) -> float:
    """The least effect that matters between so many rows, in units of `monitor.min_effect`."""
    rows = before * after / max(1, before + after)
    # What chance alone makes of an effect shrinks with the root of the rows.
    share = math.sqrt(FULL_ROWS / max(1.0, rows))
    return WEIGHTS[test] * min(1.0, max(0.5, share))


def _finding(
    test: Test, before: int, after: int, effect: float, p_value: float, summary: str
) -> Finding:
    return Finding(test, effect, p_value, summary, required(test, before, after))


def _distance(before: Column, after: Column) -> Finding:
    """Two-sample Kolmogorov-Smirnov, effect D; ties make its p-value larger than it need be, never
    smaller."""
    x, y = np.sort(before.numbers), np.sort(after.numbers)
    both = np.concatenate([x, y])
    # Both distribution functions at every value: D is where they are farthest apart.
    below_x = np.searchsorted(x, both, "right") / len(x)
    below_y = np.searchsorted(y, both, "right") / len(y)
    effect = float(np.abs(below_x - below_y).max())
    # Two samples are as good as one of n m / (n + m) rows.
    size = max(1, round(len(x) * len(y) / (len(x) + len(y))))
    p_value = max(float(stats().kstwo.sf(effect, size)), _least_p(len(x), len(y)))
    summary = _moved((before.mean, after.mean), x, y)
    return _finding("kolmogorov-smirnov", len(x), len(y), effect, p_value, summary)


def _least_p(before: int, after: int) -> float:
    """Probability that all values of one side lie above all of the other: of D = 1, for which the
    distribution of one sample gives 0. It matters where a side holds hardly any values."""
    from scipy.special import gammaln

    divisions = gammaln(before + after + 1) - gammaln(before + 1) - gammaln(after + 1)
    return min(1.0, 2 * math.exp(-divisions))


def _spread(before: np.ndarray, after: np.ndarray) -> Finding:
    """Mood's test (1954) for a scale that differs around one middle; effect: by which share the
    narrower side's mean distance from the pooled median is smaller.

    Both sides are held against the pooled median, so that the test is exact where nothing changed,
    whatever the distribution; where the middle moved too, Kolmogorov-Smirnov sees more. Values
    outside the pooled 1st and 99th percentile count as these, so that the effect follows the bulk.
    """
    sizes = len(before), len(after)
    pooled = np.concatenate([before, after])
    # The nearest value, since numpy makes NaN of what lies between two infinities.
    low, middle, high = np.percentile(pooled, (1, 50, 99), method="nearest")
    widths = []
    with np.errstate(invalid="ignore", over="ignore"):  # infinities, numbers near the largest
        for side in (before, after):
            widths.append(float(np.abs(np.clip(side, low, high) - middle).mean()))
    are_finite = all(map(math.isfinite, widths))
    is_constant = max(widths) == 0
    is_comparable = are_finite and not is_constant
    if min(sizes) < 3 or not is_comparable:
        return _finding("spread", *sizes, 0.0, 1.0, "")
    with np.errstate(invalid="ignore", divide="ignore"):
        p_value = float(stats().mood(before, after).pvalue)
    if math.isnan(p_value):
        p_value = 1.0
    effect = 1 - min(widths) / max(widths)
    summary = f"spread {widths[0]:.3g} → {widths[1]:.3g}"
    return _finding("spread", *sizes, effect, p_value, summary)


def _shares(old: Counter[str], new: Counter[str]) -> Finding:
    """Pearson's chi-squared with the rare values pooled; effect: total variation distance."""
    before, after = old.total(), new.total()
    smaller = min(before, after) / (before + after)
    together = old + new
    # The expected count of a value on the smaller side decides whether it stands for itself.
    common = sorted(value for value, rows in together.items() if rows * smaller >= LEAST_EXPECTED)
    table = []
    for side in (old, new):
        row = [side[value] for value in common]
        table.append([*row, side.total() - sum(row)])
    counts = np.array(table)  # (2, common + 1); the last column is of all rare values
    shares = counts / counts.sum(axis=1, keepdims=True)
    change = shares[1] - shares[0]
    most = int(np.abs(change).argmax())
    value = [*common, OTHER][most]
    was, now = shares[:, most]
    known = "" if was else "new value "
    summary = f"{known}{short(value)!r} {percent(was)} → {percent(now)}"
    effect = float(np.abs(change).sum() / 2)
    return _finding("chi-squared", before, after, effect, chi_squared_p(counts), summary)


def new_values(old: Counter[str], new: Counter[str]) -> Finding:
    """Rows with a value that the reference lacks, held against how many there would be if all rows
    came from one distribution; effect: by which share of the rows they are more.

    Some values are always new where many are rare: which, depends on how the rows happened to be
    divided. So each value v with c_v rows in all is in the new rows only with the probability P_v
    that a random division puts all c_v there; the statistic is the sum of the c_v of such values.
    Its tail is bounded by Chernoff's inequality, which holds for sampling without replacement too
    (Joag-Dev and Proschan 1983), so that the p-value is never too small.
    """
    before, after = old.total(), new.total()
    # Not `new - old`, which takes counts from each other and would leave frequent known values.
    unseen = Counter(new)
    for value in old:
        del unseen[value]
    # Values by how many rows they have in all: `numbers` of them have `sizes` rows.
    sizes, numbers = np.unique([*(old + new).values()], return_counts=True)
    log_only_new = log_share_of_divisions(sizes, before, after)
    expected = float((sizes * numbers * np.exp(log_only_new)).sum())
    effect = (unseen.total() - expected) / after
    if effect < ROUNDING:
        return _finding("new values", before, after, 0.0, 1.0, "")
    p_value = _chernoff(unseen.total(), sizes, numbers, log_only_new)
    value, count = unseen.most_common(1)[0]
    summary = f"new value {short(value)!r} 0% → {percent(count / after)}"
    if count < unseen.total():
        share, usual = unseen.total() / after, expected / after
        summary = (
            f"{len(unseen):,} new values in {percent(share)} of the rows, {percent(usual)} expected"
        )
    return _finding("new values", before, after, effect, p_value, summary)


def log_share_of_divisions(sizes: np.ndarray, before: int, after: int) -> np.ndarray:
    """Log probability that a random division puts all rows of a value with `sizes` rows among the
    `after` new ones: C(N - c, after - c) / C(N, after)."""
    from scipy.special import gammaln

    # By logarithms of factorials: the binomials themselves overflow at a thousand rows.
    total = before + after
    possible = sizes <= after
    c = np.minimum(sizes, after)
    share = (
        gammaln(after + 1) - gammaln(after - c + 1) + gammaln(total - c + 1) - gammaln(total + 1)
    )
    return np.where(possible, share, -np.inf)


def _chernoff(seen: int, sizes: np.ndarray, numbers: np.ndarray, log_p: np.ndarray) -> float:
    """An upper bound of P(sum of the sizes that come >= seen), each coming with probability
    exp(log_p): the least over s of exp(K(s) - s * seen), K the cumulant generating function."""
    from scipy.optimize import minimize_scalar

    # In logarithms, since P underflows; a value that comes for sure would give log(0).
    log_not = np.log1p(-np.exp(np.minimum(log_p, -1e-12)))

    def bound(s: float) -> float:
        generating = np.logaddexp(log_not, log_p + s * sizes)
        return float((numbers * generating).sum() - s * seen)

    # The best s is about as small as the sizes are large, over many orders: so its logarithm is
    # searched.
    bounds = math.log(1e-4 / sizes.max()), math.log(20.0)
    least = minimize_scalar(
        lambda log_s: bound(math.exp(log_s)), bounds=bounds, method="bounded"
    ).fun
    return math.exp(min(0.0, least))


def _missing(before: Column, after: Column) -> Finding:
    """Chi-squared of the missing shares; effect: their difference."""
    summary = f"missing {percent(before.missing)} → {percent(after.missing)}"
    counts = np.array([[side.present, side.rows - side.present] for side in (before, after)])
    effect = abs(before.missing - after.missing)
    p_value = chi_squared_p(counts)
    return _finding("missing share", before.rows, after.rows, effect, p_value, summary)


def chi_squared_p(counts: np.ndarray) -> float:
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
    tail = float(stats().chi2.sf(statistic, counts.shape[1] - 1))
    if expected.min() >= LEAST_EXPECTED or tail > FAR_FROM_SIGNIFICANT:
        return tail
    shuffled = _shuffled(counts)
    # The first side lacks what the second has too many of: both terms have the same square.
    weights = 1 / expected[0] + 1 / expected[1]
    statistics = ((shuffled - expected[1]) ** 2 * weights).sum(axis=1)
    # A shuffle that gives the same table must count as reaching it, whatever the rounding.
    reached = int((statistics >= statistic * (1 - 1e-9)).sum())
    if reached:
        return (reached + 1) / (PERMUTATIONS + 1)
    return min(tail, 1 / (PERMUTATIONS + 1))


def _shuffled(counts: np.ndarray) -> np.ndarray:
    """The second side's counts after each shuffle of all rows, shape (PERMUTATIONS, k)."""
    # A fixed seed: the same rows have the same verdict.
    totals, rng = counts.sum(axis=0), np.random.default_rng(0)
    before, after = counts.sum(axis=1).tolist()
    # Shuffling keeps both margins, so one side's counts say all.
    if before + after < MOST_SHUFFLED:
        return rng.multivariate_hypergeometric(totals, after, PERMUTATIONS, method="marginals")
    # Beyond what numpy takes, drawing the few reference rows with replacement is the same.
    drawn = rng.multinomial(before, totals / totals.sum(), PERMUTATIONS)
    return np.asarray(totals - drawn)


def _moved(means: tuple[float, float], x: np.ndarray, y: np.ndarray) -> str:
    """The means, or the middle halves where their width changed by more than the mean moved; x
    and y are sorted."""
    before, after = means
    with np.errstate(invalid="ignore", over="ignore"):
        a, b = np.percentile(x, (25, 75), method="nearest")
        c, d = np.percentile(y, (25, 75), method="nearest")
        wider = abs((d - c) - (b - a)) / 2
    if math.isfinite(after - before) and abs(after - before) >= wider:
        return f"mean {before:.3g} → {after:.3g}"
    return f"middle half {a:.3g}…{b:.3g} → {c:.3g}…{d:.3g}"


def percent(share: float) -> str:
    if 0 < share < 0.1:
        return f"{share:.1%}"
    return f"{share:.0%}"


def short(value: str) -> str:
    if len(value) <= 40:
        return value
    return value[:39] + "…"


def stats() -> Any:
    """scipy.stats.

    Raises:
        MissingExtra: scipy is not installed.
    """
    try:
        from scipy import stats
    except ModuleNotFoundError:
        raise MissingExtra("drift detection", "monitor") from None
    return stats
