"""Columns that are broken beyond doubt, and what else is odd about the rows.

A broken feed is one column of many: the data as a whole may well be stable, and training again on
it would teach the model the fault. So such a column is an alert of its own, whatever the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from modelyard.drift.columns import Column
from modelyard.drift.measures import GONE, Finding, log_share_of_divisions, percent, short
from modelyard.predictions.window import Seen

SURE = 1e-6
"""Largest p-value of an alert, adjusted over all columns."""
LARGE = 0.5
"""Least effect of an alert: Kolmogorov-Smirnov D, total variation distance, share of new values."""
TIMES_MISSING, MORE_MISSING = 3.0, 0.05
"""A missing share is an alert where it is so many times the reference's, and so much more."""
REPEATED_TIMES, REPEATED_MORE = 3.0, 0.1
"""The same for rows that repeat another one."""
LATE_SHARE = 0.01
"""Share of late rows that is worth a word."""

What = Literal["gone", "new type", "empty", "missing", "constant", "other values"]


class Alert(BaseModel):
    """A column that is broken, or holds something else altogether."""

    model_config = ConfigDict(frozen=True)

    column: str
    what: What
    effect: float
    """As the column's test measures it, 0 to 1; 1 where there is no test."""
    summary: str
    """What changed: `missing 5.0% → 100%`."""

    def in_words(self) -> str:
        """`amount is empty (missing 5.0% → 100%)`."""
        words = {
            "missing": "lacks values",
            "new type": "has a new type",
            "other values": "holds other values",
        }
        said = words.get(self.what, f"is {self.what}")
        if self.summary:
            return f"{self.column} {said} ({self.summary})"
        return f"{self.column} {said}"


def alert(
    name: str,
    before: Column,
    after: Column,
    findings: Iterable[tuple[Finding, float]],
    columns: int,
) -> Alert | None:
    """The alert that a column of so many raises, if any; `findings` come with adjusted p-values."""
    sure = [finding for finding, p in findings if p <= SURE]
    # The worst first: a column raises one alert.
    for finding in sure:
        if (what := _structure(finding)) is not None:
            return Alert(column=name, what=what, effect=1.0, summary=finding.summary)
    for finding in sure:
        if finding.test == "missing share" and _lacks(before, after):
            what = "missing" if after.present else "empty"
            return Alert(column=name, what=what, effect=finding.effect, summary=finding.summary)
    value = _constant(before, after)
    # Times the columns: by chance alone, one of many is stuck in a short window (Bonferroni).
    if value is not None and _by_chance(before, after) * columns <= SURE:
        return Alert(column=name, what="constant", effect=1.0, summary=f"always {value}")
    # A spread that changed leaves the values where they were, and missing ones had their turn.
    of_values = ("kolmogorov-smirnov", "chi-squared", "new values")
    large = [finding for finding in sure if finding.test in of_values and finding.effect >= LARGE]
    if not large:
        return None
    largest = max(large, key=lambda finding: finding.effect)
    return Alert(column=name, what="other values", effect=largest.effect, summary=largest.summary)


def cautions(reference: float, current: float, seen: Seen) -> list[str]:
    """What is odd about the rows, from the shares of repeated ones on both sides and from what was
    seen of the log."""
    said = []
    # Both, since three times next to nothing is nothing, and a tenth more of much is usual.
    if current >= max(REPEATED_TIMES * reference, reference + REPEATED_MORE):
        said.append(
            f"{percent(current)} of the rows repeat another one near by, {percent(reference)} of "
            f"the reference's do: is a caller or a log sending them twice?"
        )
    read = seen.rows + seen.outside
    if seen.late > LATE_SHARE * read:
        said.append(
            f"{percent(seen.late / read)} of the rows are more than an hour older than the hour "
            f"that they are filed under: rows come late, and windows before this one lacked them"
        )
    return said


def _structure(finding: Finding) -> What | None:
    if finding.test == "type":
        return "new type"
    if finding.test == "presence" and finding.summary == GONE:
        return "gone"
    return None


def _lacks(before: Column, after: Column) -> bool:
    if after.missing < before.missing + MORE_MISSING:
        return False
    return not after.present or after.missing >= TIMES_MISSING * before.missing


def _constant(before: Column, after: Column) -> str | None:
    """The one value of a column that held several; None where it is not stuck."""
    if before.kind == after.kind == "numeric":
        is_stuck = after.least == after.most and before.least < before.most
        return f"{after.least:g}" if is_stuck else None
    if before.kind == after.kind == "category":
        is_stuck = len(before.counts) > 1 and len(after.counts) == 1
        return repr(short(next(iter(after.counts)))) if is_stuck else None
    return None


def _by_chance(before: Column, after: Column) -> float:
    """Probability that a random division of all rows leaves this one value to the new ones: that it
    puts all others into the reference."""
    if after.kind == "numeric":
        same = int((before.numbers == after.least).sum())
    else:
        same = before.counts[next(iter(after.counts))]
    others = np.array([before.present - same])
    log_share = log_share_of_divisions(others, after.present, before.present)
    return float(np.exp(log_share[0]))
