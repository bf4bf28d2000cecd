"""Whether a challenger is better than the champion, and why, in a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from modelyard.judging.evaluation import DATA, LABELLED, Evaluation, GateResult
from modelyard.settings.family import RegistrySettings

DECIDE_SPLITS = {
    "data": ("split_seed",),
    "features": ("test_share", "split", "time_column", "group", "group_pattern"),
}
"""Settings by which an example that trained one model may be in the test split of another."""


class Compared(NamedTuple):
    """What comparing two evaluations of the same rows came to."""

    better: bool
    reason: str
    """`roc_auc 0.9951 > 0.9932`; with labelled requests two of them."""


def compare(
    metric: str, challenger: Evaluation, champion: Evaluation, settings: RegistrySettings
) -> Compared:
    """Holds two evaluations of the same rows against each other.

    Where requests whose label came are among the rows, the challenger must be better on these, and
    may lose `most_lost` of the metric on the data's own: what the champion knew must not be
    forgotten for what is new.
    """
    after, before = _by_group(metric, challenger), _by_group(metric, champion)
    if after is None or before is None:
        new, old = challenger.metrics[metric], champion.metrics[metric]
        return _one(metric, new, old, settings.margin, challenger)
    labelled, own = after
    labelled_before, own_before = before
    found = _one(metric, labelled, labelled_before, settings.margin, challenger)
    largest = settings.most_lost * abs(own_before)
    # The other way round: the champion is better on the data by more than may be lost.
    forgot = challenger.better(metric, own_before, own, largest)
    kept = _one(metric, own, own_before, 0.0, challenger)
    reason = (
        f"{found.reason} on {challenger.groups[LABELLED].rows:,} labelled requests, "
        f"{kept.reason} on {challenger.groups[DATA].rows:,} test rows of the data"
    )
    if forgot:
        reason += f": worse by more than {settings.most_lost:.0%} there (registry.most_lost)"
    return Compared(found.better and not forgot, reason)


def unproven(challenger: GateResult, champion: GateResult) -> str:
    """Why a challenger that is better on these rows does not take over, or empty: it is not better
    than its baseline beyond chance, and the champion was, on its own test split.

    Labels that became noise make every model look alike: the better of two is then chance.
    """
    if challenger.gain is None or challenger.gain.low > 0:
        return ""
    if champion.gain is None or champion.gain.low <= 0:
        return ""
    return (
        f"but not better than its baseline beyond chance ({challenger.gain.words}), as the "
        "champion was on its own test split. Look at the data"
    )


def other_splits(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The setting by which a model with the settings `before` had other splits, and what it was, or
    empty: it may have learned from what it is judged on now."""
    for section, names in DECIDE_SPLITS.items():
        old, new = before.get(section) or {}, now.get(section) or {}
        for name in names:
            value = old.get(name)
            if value != new.get(name):
                return f"{section}.{name} was {'not there' if value is None else value}"
    return ""


def _by_group(metric: str, evaluation: Evaluation) -> tuple[float, float] | None:
    """The metric on labelled requests and on the data's own rows; None where either lacks it."""
    labelled, data = evaluation.groups.get(LABELLED), evaluation.groups.get(DATA)
    if labelled is None or data is None:
        return None
    if metric not in labelled.metrics or metric not in data.metrics:
        return None
    return labelled.metrics[metric], data.metrics[metric]


def _one(metric: str, new: float, old: float, margin: float, evaluation: Evaluation) -> Compared:
    """`roc_auc 0.9951 > 0.9932`, with as many digits as it takes to see a difference."""
    better = evaluation.better(metric, new, old, margin)
    larger = evaluation.directions[metric] == "max"
    for digits in range(4, 13):
        if f"{new:.{digits}f}" != f"{old:.{digits}f}":
            break
    else:
        digits = 4
    sign = "<"
    if new == old:
        sign = "="
    elif new > old:
        sign = ">"
    text = f"{metric} {new:.{digits}f} {sign} {old:.{digits}f}"
    # Where the new one is behind, or nothing is required, the margin explains nothing.
    is_ahead = (new > old) == larger
    if not better and margin and is_ahead:
        text += f", not by more than {margin:g}"
    return Compared(better, text)
