"""Judges the heads of a model with several tasks on what was shown in a split."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.data import load_impressions
from modelyard.judging.curves import roc_auc

if TYPE_CHECKING:
    from modelyard.families.recommender.host import RecommenderHost
    from modelyard.family import Split
    from modelyard.runtimes.types import Runtime

SMOOTHING = 10.0
"""Views at the overall rate that an item's own rate is blended with."""
PAIRS = 2**16
"""Pairs of a user and an item that are scored at once."""


@dataclass(frozen=True)
class Judged:
    """Figures of the heads; nothing where the model or the data has none."""

    metrics: dict[str, float] = field(default_factory=dict)
    baseline: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def judge(host: RecommenderHost, run: Runtime, features: Path, split: Split) -> Judged:
    """ROC AUC of clicks and conversions and mean absolute error of the log seconds, beside items'
    own means.

    Rows whose user or item the host does not know are left out.
    """
    shown, train = load_impressions(features, split), load_impressions(features, "train")
    if host.rank_by is None or shown is None or train is None:
        return Judged()
    said = _said(host, run, Catalog.load(features / "assets"), shown)
    known = ~np.isnan(said["click"])
    clicked = known & (shown["click"] == 1)
    metrics: dict[str, float] = {}
    baseline: dict[str, float] = {}
    for task, rows in (("click", known), ("conversion", clicked)):
        # An empty cell is no click and no conversion, as in training.
        truth = np.nan_to_num(shown[task][rows])
        if len(np.unique(truth)) == 2:
            mean = _item_means(train, task, shown["item"][rows])
            metrics[f"{task}_roc_auc"] = roc_auc(truth, said[task][rows])
            baseline[f"{task}_roc_auc"] = roc_auc(truth, mean)
    timed = clicked & ~np.isnan(shown["dwell"])
    if timed.any():
        truth = np.log1p(shown["dwell"][timed])
        mean = _item_means(train, "dwell", shown["item"][timed])
        metrics["dwell_log_mae"] = float(np.abs(said["dwell"][timed] - truth).mean())
        baseline["dwell_log_mae"] = float(np.abs(mean - truth).mean())
    note = (
        f"The heads are judged on {int(known.sum()):,} shown items, {int(clicked.sum()):,} of them clicked; "
        "their baseline is each item's own smoothed mean. dwell_log_mae is in log(1 + seconds)."
    )
    return Judged(metrics, baseline, [note])


def _said(
    host: RecommenderHost, run: Runtime, catalog: Catalog, shown: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The heads' outputs for each row, float64 (rows,); NaN where the host does not know user or
    item."""
    user_index, item_index = host.catalog.user_index, host.catalog.item_index
    user_of = np.array([user_index.get(name, -1) for name in catalog.users])
    item_of = np.array([item_index.get(item.id, -1) for item in catalog.items])
    users, items = user_of[shown["user"]], item_of[shown["item"]]
    said = {task: np.full(len(users), np.nan) for task in ("click", "conversion", "dwell")}
    rows = np.flatnonzero((users >= 0) & (items >= 0))
    asked = np.unique(users[rows])
    size = max(1, PAIRS // len(host.catalog.items))
    for start in range(0, len(asked), size):
        part = asked[start : start + size]
        outputs = host.heads(run, part)
        # `asked` is sorted, so that a part is a range of users.
        mine = rows[(users[rows] >= part[0]) & (users[rows] <= part[-1])]
        for task, values in said.items():
            values[mine] = outputs[task][np.searchsorted(part, users[mine]), items[mine]]
    return said


def _item_means(train: dict[str, np.ndarray], task: str, items: np.ndarray) -> np.ndarray:
    """The mean in training of each of `items` (rows,), blended with the overall one, float64
    (rows,).

    Of clicked rows only, but for the click itself; the time in log(1 + seconds).
    """
    values = train[task].astype(np.float64)
    if task == "dwell":
        rows = (train["click"] == 1) & ~np.isnan(values)
        values = np.log1p(values)
    elif task == "conversion":
        rows = train["click"] == 1
    else:
        rows = np.ones(len(values), bool)
    values, of_item = np.nan_to_num(values[rows]), train["item"][rows]
    size = 1 + max(int(train["item"].max()), int(items.max()))
    views = np.bincount(of_item, minlength=size)
    total = np.bincount(of_item, values, size)
    mean = (total + SMOOTHING * values.mean()) / (views + SMOOTHING)
    return np.asarray(mean[items])
