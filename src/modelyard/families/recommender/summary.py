"""What the card tells of a log of interactions."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelyard.families.recommender.catalog import Catalog, Item
from modelyard.families.recommender.cleaning import NOT_LIKED, Interactions


def summary(
    catalog: Catalog,
    had: Interactions,
    split: np.ndarray,
    rows: dict[str, int],
    dropped: dict[str, int],
    shown: int,
    titles: dict[str, Item],
    columns: bool,
) -> dict[str, Any]:
    users, items, count = len(catalog.users), len(catalog.items), len(had.rows)
    notes = [
        f"{users - rows['test']:,} of {users:,} users have too few interactions to be judged: they train only."
    ]
    passed = shown - count - dropped["the user had the item before"]
    headline = f"{count:,} interactions of {users:,} users with {items:,} items"
    if passed and had.log.labels:
        headline += f"; {passed:,} rows shown and not clicked"
        notes.append(
            f"{passed:,} rows were shown and not clicked: they train model.kind=multitask only."
        )
    new = int((catalog.popularity == 0).sum())
    if new and columns:
        notes.append(
            f"{new:,} items have no training interaction: only their columns say whom they suit."
        )
    elif new:
        notes.append(
            f"{new:,} items have no training interaction: no model can know whom they suit."
        )
    if tied := _ties(had, split):
        notes.append(
            f"{tied:,} users' last interactions have one time: their order in the file decided."
        )
    if titles:
        unknown = [item for item in catalog.items if item.id not in titles]
        if unknown:
            notes.append(f"{len(unknown):,} items are not in the list of items.")
    table = {
        "title": "Interactions",
        "columns": ["what", "value"],
        "rows": [
            ["users", users],
            ["items", items],
            ["interactions", count],
            ["share of all pairs", f"{100 * count / users / items:.2f} %"],
            ["a user has (least, median, most)", _quantiles(had.user, [0, 0.5, 1])],
            ["an item has (median, most)", _quantiles(had.item, [0.5, 1])],
        ],
    }
    return {
        "rows": rows,
        "dropped": dropped,
        "unit": "interactions",
        "left_out": had.log.left_out,
        "tables": [table],
        "notes": notes,
        "users": users,
        "items": items,
        "headline": headline + _liked(dropped),
    }


def _quantiles(of: np.ndarray, shares: list[float]) -> str:
    """Of the number of interactions of those who have some, by index (interactions,)."""
    counts = np.bincount(of)
    found = np.quantile(counts[counts > 0], shares)
    return " / ".join(f"{value:g}" for value in found)


def _ties(had: Interactions, split: np.ndarray) -> int:
    """Judged users whose test interaction is not later than the one before it."""
    last = np.flatnonzero(split == 2)
    time = had.log.time[had.rows]
    return int((time[last] == time[last - 1]).sum())


def _liked(dropped: dict[str, int]) -> str:
    """Which interactions count as liked where some do not; the stage's line counts those."""
    for reason in dropped:
        if reason.startswith("rated"):
            if reason == NOT_LIKED:
                least = "above 0"
            else:
                least = f"{reason.split()[-1]} or more"
            return f"; liked is what was rated {least} (features.min_rating)"
    return ""
