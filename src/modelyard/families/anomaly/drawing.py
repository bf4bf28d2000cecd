"""Rows without a time: whether they follow each other, and splits drawn where they do not."""

from __future__ import annotations

import numpy as np
import pandas as pd

from modelyard.families.anomaly.config import AnomalyFeatures
from modelyard.kit.splits import draw, evenly, keys_of_rows, mixed

LEAST_CORRELATION = 0.2
"""Of neighbouring rows, over the columns: the rows of a series have more."""
STRETCHES, LONGEST = 10, 2000
"""Of a long table so many stretches of so many rows are looked at."""


def are_drawn(x: np.ndarray, label: np.ndarray, settings: AnomalyFeatures) -> bool:
    """Whether the splits of rows without a time are drawn, as `features.split` says.

    Args:
        x: measurements without empty cells, (rows, columns).
        label: 1, 0 or -1, (rows,).
    """
    if settings.split != "auto":
        return settings.split == "random"
    if _likeness(x, label) <= LEAST_CORRELATION:
        return True
    return _is_sorted_by_label(label, settings.test_share)


def draw_parts(
    x: np.ndarray, label: np.ndarray, settings: AnomalyFeatures
) -> dict[str, np.ndarray]:
    """Rows of each part, ascending int64: anomalies and normal rows in the same shares."""
    keys = keys_of_rows(pd.DataFrame(x), seed=0)
    # Equal rows are drawn one by one: a threshold's rate holds for parts that are alike.
    copies = pd.Series(keys).groupby(keys).cumcount().to_numpy().astype(np.uint64)
    keys = mixed(keys + copies)
    shares = {"validation": settings.validation_share, "test": settings.test_share}
    parts = draw(keys, shares, label)
    # What is drawn to compare and to set the threshold is two parts here.
    learned = parts["train"]
    share = settings.calibration_share / (settings.shares[0] + settings.calibration_share)
    again = draw(keys[learned], {"validation": share}, label[learned])
    parts["train"] = learned[again["train"]]
    parts["calibration"] = learned[again["validation"]]
    return {name: np.sort(rows) for name, rows in parts.items()}


def _likeness(x: np.ndarray, label: np.ndarray) -> float:
    """Mean over the columns of the rank correlation of a row with the next one of the same label.

    Of the same label only: rows that are sorted by it are alike for no other reason.
    """
    starts = np.array([0])
    length = len(x)
    if length > STRETCHES * LONGEST:
        starts = evenly(length - LONGEST, STRETCHES)
        length = LONGEST
    rows = starts[:, None] + np.arange(length)
    before, after = rows[:, :-1].ravel(), rows[:, 1:].ravel()
    alike = label[before] == label[after]
    before, after = before[alike], after[alike]
    if not len(before):
        return 1.0
    marked = label[before] == 1
    seen = pd.DataFrame(x).rank().to_numpy()
    correlations = []
    for column in seen.T:
        # A label's rows may have a level of their own, which is no likeness of neighbours.
        pairs = [column[before], column[after]]
        for own in (marked, ~marked):
            if own.any():
                pairs = [np.where(own, pair - pair[own].mean(), pair) for pair in pairs]
        if min(pair.std() for pair in pairs) > 0:
            correlations.append(np.corrcoef(*pairs)[0, 1])
    if not correlations:
        return 1.0
    return float(np.mean(correlations))


def _is_sorted_by_label(label: np.ndarray, test_share: float) -> bool:
    """Whether all anomalies stand in one block at the start or the end, and the latest rows, which
    would be the test split, are all normal or all anomalies."""
    marked = label == 1
    if marked.all() or (np.diff(marked) != 0).sum() != 1:
        return False
    latest = marked[-max(1, round(test_share * len(marked))) :]
    return bool(latest.all() or not latest.any())
