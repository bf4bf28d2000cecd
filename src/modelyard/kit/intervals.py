"""How sure a figure is: intervals of shares, of any metric, and of its gain over a baseline. For
judging, not for answering: they need scipy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from scipy.stats import binomtest, norm
from scipy.stats import t as student

from modelyard.judging.evaluation import Direction, Gain

RESAMPLES, RESAMPLED_ROWS = 200, 5_000
LEAST_RESAMPLED = 30
"""Groups that a bootstrap sample of a large split holds at least."""
FEW_GROUPS = 10
"""With fewer in a split, intervals by groups are too narrow (Cameron, Gelbach and Miller 2008)."""

Metric = Callable[[np.ndarray, np.ndarray], float]
"""A metric of the truth and the answers, (n,) or (n, …) each."""


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95 % interval of the share `hits / of` (Wilson 1927); 0 to 1 where nothing was counted."""
    if of == 0:
        return 0.0, 1.0
    found = binomtest(hits, of).proportion_ci(0.95, "wilson")
    return float(found.low), float(found.high)


class Compared(TypedDict):
    """Fields of an `Evaluation`."""

    main: str
    gains: list[Gain]
    intervals: dict[str, tuple[float, float]]
    samples: list[float]


@dataclass(frozen=True)
class Resampled:
    """A metric of several answers to the same rows, on bootstrap samples of them (Efron and
    Tibshirani 1993, chapter 13): all answers are judged on the same samples, so that their
    differences are paired."""

    values: np.ndarray
    """On all rows, (answers,)."""
    samples: np.ndarray
    """(samples, answers); none where more than half of the samples held a single value of the
    truth: too few rows."""
    shrink: float = 1.0
    """What the spread of the samples is scaled by. Large splits are resampled to fewer rows or
    groups: the root of the ratio (Bickel, Götze and van Zwet 1997). Of groups, see `_widened`."""
    groups: int | None = None
    """How many were resampled; None: rows were."""

    def interval(self, answer: int = 0) -> tuple[float, float] | None:
        """95 % percentile interval of an answer's metric, centred on its value."""
        return self._around(float(self.values[answer]), self.samples[:, answer])

    def intervals(self, metric: str) -> dict[str, tuple[float, float]]:
        """The first answer's interval, by the metric's name; none for too few rows."""
        found = self.interval()
        if found is None:
            return {}
        return {metric: found}

    def paired(self) -> list[float]:
        """The first answer's metric on each sample, scaled to the spread of all rows. Another
        model's answers to the same rows give the same samples."""
        scaled: list[float] = (self.samples[:, 0] * self.shrink).tolist()
        return scaled

    def gain(self, metric: str, over: str, direction: Direction, simple: int = 1) -> Gain | None:
        """How much better the first answer is than the answer `simple`, called `over`."""
        sign = 1
        if direction == "min":
            sign = -1
        value = sign * float(self.values[0] - self.values[simple])
        found = self._around(value, sign * (self.samples[:, 0] - self.samples[:, simple]))
        if found is None:
            return None
        return Gain(metric=metric, over=over, value=value, low=found[0], high=found[1])

    def gains(self, metric: str, direction: Direction, *over: str) -> list[Gain]:
        """The gains over the simple answers, called so in their order; none for too few rows."""
        found = []
        for place, name in enumerate(over, start=1):
            gain = self.gain(metric, name, direction, place)
            if gain is not None:
                found.append(gain)
        return found

    def compared(self, metric: str, direction: Direction, *over: str) -> Compared:
        """What the samples tell of the evaluation's main metric, and of its gains over the simple
        answers, called so in their order."""
        return {
            "main": metric,
            "gains": self.gains(metric, direction, *over),
            "intervals": self.intervals(metric),
            "samples": self.paired(),
        }

    def sentence(self, name: str, within: tuple[float, float] | None = None) -> str:
        """The first answer's metric with its interval, for the card; `within` are the bounds that
        the metric cannot leave."""
        found = self.interval()
        if found is None and self.groups is None:
            return f"{name}: too few rows for an interval."
        if found is None:
            return f"{name}: too few groups for an interval."
        low, high = found
        if within is not None:
            low, high = max(low, within[0]), min(high, within[1])
        samples = f"{len(self.samples)} bootstrap samples{_of_groups(self.groups)}"
        return f"{name} {self.values[0]:.4g}, 95 % interval {low:.4g} to {high:.4g} ({samples})."

    def _around(self, value: float, samples: np.ndarray) -> tuple[float, float] | None:
        if not len(samples):
            return None
        # Smaller samples are biased by their size: only how they spread is taken from them.
        spread = (samples - np.median(samples)) * self.shrink
        low, high = value + np.quantile(spread, [0.025, 0.975])
        return float(low), float(high)


class _Clusters:
    """Rows by the group that they are of."""

    def __init__(self, groups: np.ndarray) -> None:
        _, self.of_row = np.unique(groups, return_inverse=True)
        """Number of each row's group, (rows,)."""
        self._order = np.argsort(self.of_row, kind="stable")
        self._sizes = np.bincount(self.of_row)
        self._starts = np.cumsum(self._sizes) - self._sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def rows(self, drawn: np.ndarray) -> np.ndarray:
        """All rows of the groups `drawn` (m,), of one that is drawn twice two times."""
        sizes = self._sizes[drawn]
        # 0, 1, 2 … over all drawn rows, moved for each group to where its own rows begin.
        skipped = self._starts[drawn] - (np.cumsum(sizes) - sizes)
        return np.asarray(self._order[np.repeat(skipped, sizes) + np.arange(sizes.sum())])


class Draws:
    """Bootstrap samples of rows, the same for every model. Rows of one group are drawn together
    (the cluster bootstrap: Field and Welsh 2007, Bootstrapping clustered data, section 2): those of one
    patient are alike, and drawn one by one they would count as more evidence than they are."""

    def __init__(
        self, rows: int, groups: np.ndarray | None = None, most: int | None = None
    ) -> None:
        """`groups` are those of the rows, (rows,); None: each is one. Samples hold about `most` rows at
        most."""
        self._clusters = _clusters(groups)
        if self._clusters is None:
            self._units, least = rows, most or rows
        else:
            self._units, least = len(self._clusters), LEAST_RESAMPLED
        self._size = self._units
        if most is not None and rows > most:
            self._size = min(self._units, max(least, self._units * most // rows))

    def __iter__(self) -> Iterator[np.ndarray]:
        """RESAMPLES times the places of rows."""
        rng = np.random.default_rng(0)
        for _ in range(RESAMPLES):
            drawn = rng.integers(0, self._units, self._size)
            if self._clusters is None:
                yield drawn
            else:
                yield self._clusters.rows(drawn)

    @property
    def groups(self) -> int | None:
        """How many are drawn from; None: rows are."""
        if self._clusters is None:
            return None
        return self._units

    @property
    def shrink(self) -> float:
        """As `Resampled` has it."""
        ratio = float(np.sqrt(self._size / self._units))
        if self._clusters is None:
            return ratio
        return ratio * _widened(self._units)

    def resampled(self, values: np.ndarray, samples: np.ndarray) -> Resampled:
        """A metric of several answers on all rows, (answers,), and on these samples of them,
        (samples, answers)."""
        # Samples of one group are all the same.
        if self._clusters is not None and self._units < 2:
            samples = samples[:0]
        return Resampled(values, samples, self.shrink, self.groups)


def resample(
    metric: Metric,
    y: np.ndarray,
    *answers: np.ndarray,
    varied: bool = True,
    groups: np.ndarray | None = None,
) -> Resampled:
    """A metric of answers to the rows `y`, on RESAMPLES bootstrap samples of at most RESAMPLED_ROWS
    rows, see `Draws`.

    Args:
        varied: the metric needs two different values of the truth: samples with one are left out.
        groups: of each row, (n,); None: each row is one.
    """
    draws = Draws(len(y), groups, RESAMPLED_ROWS)
    seen = []
    for rows in draws:
        if not varied or len(np.unique(y[rows])) > 1:
            seen.append([metric(y[rows], answer[rows]) for answer in answers])
    if len(seen) < RESAMPLES / 2:
        # What is left are the samples in which a rare value happens to be.
        seen = []
    values = np.array([metric(y, answer) for answer in answers])
    samples = np.array(seen).reshape(-1, len(answers))
    return draws.resampled(values, samples)


def unsampled(answers: int) -> Resampled:
    """Of so many answers to rows that are too few, or too alike, for an interval."""
    return Resampled(np.full(answers, np.nan), np.empty((0, answers)))


def mean_of(y: np.ndarray, figures: np.ndarray) -> float:
    """The metric of answers that have a figure of their own for each row."""
    return float(figures.mean())


def share_interval(hits: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float]:
    """95 % interval of the share of `hits`, bool (n,): Wilson's, and where rows are grouped Wilson's
    of the effective number of rows, by the design effect (Franco et al. 2019, Comparative study of
    confidence intervals for proportions in complex sample surveys, section 3).

    Args:
        groups: of each row, (n,); None: each row is one.
    """
    clusters = _clusters(groups)
    if clusters is None:
        return wilson(int(hits.sum()), len(hits))
    if len(clusters) < 2:
        return 0.0, 1.0
    count, share = len(clusters), float(hits.mean())
    # The variance of a ratio, hits over rows, where whole groups are drawn.
    apart = np.bincount(clusters.of_row, hits - share)
    variance = count / (count - 1) * float((apart**2).sum()) / len(hits) ** 2
    # Where all rows agree nothing shows how alike those of a group are: at worst they are one.
    if variance > 0:
        effective = share * (1 - share) / variance
    else:
        effective = count
    effective = min(float(effective), len(hits))
    z = float(student.ppf(0.975, count - 1))
    centre = share + z**2 / (2 * effective)
    half = z * np.sqrt(share * (1 - share) / effective + z**2 / (4 * effective**2))
    scale = 1 + z**2 / effective
    return max(0.0, float((centre - half) / scale)), min(1.0, float((centre + half) / scale))


def share_sentence(name: str, hits: np.ndarray, groups: np.ndarray | None = None) -> str:
    """The share of `hits`, bool (n,), with its interval, for the card. `groups` as of
    `share_interval`."""
    low, high = share_interval(hits, groups)
    clusters = _clusters(groups)
    by = ""
    if clusters is not None:
        by = _of_groups(len(clusters))
    right, of = int(hits.sum()), len(hits)
    return f"{name}: {right} of {of}, 95 % interval {low:.3f} to {high:.3f} (Wilson{by})."


def _clusters(groups: np.ndarray | None) -> _Clusters | None:
    """None: no two rows are of one group."""
    if groups is None:
        return None
    found = _Clusters(groups)
    if len(found) == len(groups):
        return None
    return found


def _widened(count: int) -> float:
    """By how much the spread of bootstrap samples of few groups is too small: it divides by their
    number and not by one less, and normal quantiles stand for Student's (Hesterberg 2015, What
    teachers should know about the bootstrap, section 4.1)."""
    if count < 2:
        return 1.0
    quantiles = student.ppf(0.975, count - 1) / norm.ppf(0.975)
    return float(np.sqrt(count / (count - 1)) * quantiles)


def _of_groups(count: int | None) -> str:
    if count is None:
        return ""
    if count < FEW_GROUPS:
        return f" of {count} groups, which are few: it is rather too narrow"
    return f" of {count} groups"
