"""How good the answers were whose label came: the error itself, its interval, and calibration."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from modelyard.drift.columns import Column, column
from modelyard.drift.measures import stats
from modelyard.host import TRUTHS, Host, Outcome
from modelyard.predictions.labels import read_labels
from modelyard.store.tables import read_parquet

ERROR, LABEL = "(error)", "(label)"
"""The columns that labels add to a comparison. No column of data may be called so by chance: a
parenthesis begins none that a family describes."""
ERROR_SHARE = 0.5
"""An error rate that grows by five points matters as much as an input that moves by ten."""
MOST_ROWS = 100_000
"""Labelled answers that are looked at, those with the newest labels."""
CONFIDENCE = 0.95
LARGEST = 1e100
"""An error beyond it comes of a label that is no measurement, and counts as unclear."""


class Quality(BaseModel):
    """The answers whose label came within the window, however long ago they were given."""

    model_config = ConfigDict(frozen=True)

    measure: str
    """What `value` is: `error rate`, `mean absolute error`."""
    rows: int
    """Answers with a label."""
    value: float = 0.0
    low: float = 0.0
    high: float = 0.0
    """Mean error, with its 95 % interval: Wilson's for a rate, Student's for a mean."""
    reference: float | None = None
    """The same of the package's own test rows; None where it does not hold their labels."""
    predicted: float | None = None
    happened: float | None = None
    """Means of what was predicted (a probability, a value) and of what came: calibration in the
    large."""
    calibration_error: float | None = None
    """Of probabilities: the mean distance of what was predicted from what came, in bins."""
    unmatched: int = 0
    """Labels whose answer is not in the log."""
    unclear: int = 0
    """Labels that are no class of the model, or no number."""
    skipped: int = 0
    """Files of the log or of the labels that could not be read."""

    def in_words(self) -> str:
        """A clause for the line of the verdict."""
        counts = {
            "labels without an answer of this version in the log": self.unmatched,
            "labels unknown to the model": self.unclear,
            "files that cannot be read": self.skipped,
        }
        aside = [f"{what}: {number:,}" for what, number in counts.items() if number]
        also = f" ({', '.join(aside)})" if aside else ""
        if not self.rows:
            return f"labels: none that fit{also}"
        before = ""
        if self.reference is not None:
            before = f", {self.reference:.3g} on the test data"
        answers = "1 labelled answer" if self.rows == 1 else f"{self.rows:,} labelled answers"
        return (
            f"{self.measure} {self.value:.3g} (95 % {self.low:.3g} to {self.high:.3g}) over "
            f"{answers}{before}{also}"
        )


@dataclass(frozen=True)
class Compared:
    """What labels tell: in words, and as columns of the comparison."""

    quality: Quality | None = None
    """None: no label came."""
    before: dict[str, Column] = field(default_factory=dict)
    after: dict[str, Column] = field(default_factory=dict)


def labelled(
    place: str | Path, since: datetime, version: str, package: Path, host: Host, least: int
) -> Compared:
    """The answers of one package version whose labels came from `since` on, held against them.

    Columns are given from `least` labelled answers on: of fewer nothing can be said. The error is
    one of them only where it is larger than on the test rows: a smaller one asks for nothing.

    Raises:
        Unavailable: the log cannot be read.
    """
    if not host.error_name:
        return Compared()
    read = read_labels(place, since, version, most=MOST_ROWS)
    if not read.labels:
        return Compared()
    now = _outcomes(host, read.rows, [row["_label"] for row in read.rows])
    before = of_package(package, host)
    quality = _quality(host.error_name, now, before).model_copy(
        update={
            "unmatched": read.unmatched,
            "unclear": len(read.rows) - len(now),
            "skipped": len(read.skipped),
        }
    )
    if len(now) < least or not before:
        return Compared(quality)
    of_test = columns_of(before, host.counts_errors)
    of_traffic = columns_of(now, host.counts_errors)
    if quality.reference is None or quality.value <= quality.reference:
        del of_test[ERROR]
        del of_traffic[ERROR]
    return Compared(quality, of_test, of_traffic)


def _outcomes(
    host: Host, rows: Iterable[Mapping[str, Any]], labels: Iterable[Any]
) -> list[Outcome]:
    """Those whose label means something."""
    found = []
    for row, label in zip(rows, labels, strict=True):
        outcome = host.outcome(row, label)
        if outcome is not None and _is_measurable(outcome):
            found.append(outcome)
    return found


def _is_measurable(outcome: Outcome) -> bool:
    """Whether means and variances of such figures are finite: callers send labels up to 1e308."""
    figures = (outcome.error, outcome.predicted or 0.0, outcome.happened or 0.0)
    return all(abs(number) <= LARGEST for number in figures)


def of_package(package: Path, host: Host) -> list[Outcome]:
    """The package's own test rows against their labels; none where it was made without them."""
    file = package / TRUTHS
    if not file.is_file():
        return []
    columns = read_parquet(package / "reference.parquet")
    truths = json.loads(file.read_text())
    rows = []
    for cells in zip(*columns.values(), strict=True):
        rows.append(dict(zip(columns, cells, strict=True)))
    return _outcomes(host, rows, truths)


def columns_of(outcomes: Sequence[Outcome], counts: bool) -> dict[str, Column]:
    """The columns that labels add: `counts` says that an answer is right or wrong."""
    errors: list[Any] = [outcome.error for outcome in outcomes]
    if counts:
        # As words they are categories, whose test is that of a rate.
        errors = ["wrong" if error else "right" for error in errors]
    error = replace(column(errors), least_share=ERROR_SHARE)
    return {ERROR: error, LABEL: column([outcome.truth for outcome in outcomes])}


def _quality(measure: str, now: Sequence[Outcome], before: Sequence[Outcome]) -> Quality:
    # scikit-learn takes a second: only where labels came.
    from modelyard.kit.classes.judged import calibration_error

    reference = None
    if before:
        reference = float(np.mean([outcome.error for outcome in before]))
    if not now:
        return Quality(measure=measure, rows=0, reference=reference)
    errors = np.array([outcome.error for outcome in now])
    low, high = _interval(errors)
    known = [outcome for outcome in now if outcome.predicted is not None]
    found: dict[str, float] = {}
    if known:
        predicted = np.array([outcome.predicted for outcome in known], np.float64)
        happened = np.array([outcome.happened for outcome in known], np.float64)
        found = {"predicted": float(predicted.mean()), "happened": float(happened.mean())}
        # Of values, not probabilities, there are no shares that they should come true in.
        are_probabilities = predicted.min() >= 0 and predicted.max() <= 1
        if are_probabilities and set(np.unique(happened)) <= {0.0, 1.0}:
            found["calibration_error"] = calibration_error(happened, predicted)
    return Quality(
        measure=measure,
        rows=len(errors),
        value=float(errors.mean()),
        low=low,
        high=high,
        reference=reference,
        **found,
    )


def _interval(errors: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean."""
    # Wilson's (1927) stays within 0 and 1, and has a width where no answer was wrong.
    if set(np.unique(errors)) <= {0.0, 1.0}:
        test = stats().binomtest(int(errors.sum()), len(errors))
        found = test.proportion_ci(CONFIDENCE, method="wilson")
        return float(found.low), float(found.high)
    mean, rows = float(errors.mean()), len(errors)
    if rows < 2:
        return mean, mean
    # n - 1, since the mean of the same rows is nearer to them than the true one; and Student's t
    # for a deviation that is an estimate too.
    standard_error = float(errors.std(ddof=1)) / np.sqrt(rows)
    width = float(standard_error * stats().t.ppf((1 + CONFIDENCE) / 2, rows - 1))
    return mean - width, mean + width
