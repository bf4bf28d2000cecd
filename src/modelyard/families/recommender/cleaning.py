"""Which rows of a log count, and which of them train, validate and test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelyard.errors import BadData
from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.config import RecommenderFeatures
from modelyard.families.recommender.earlier import no_news
from modelyard.families.recommender.read import Log

LEAST_USERS, LEAST_ITEMS = 20, 21
"""Fewer judged users tell nothing; fewer items than the longest list (20) make every list
complete."""
NOT_LIKED = "rated 0 or below"


@dataclass(frozen=True)
class Interactions:
    """Rows of a log: indices into it, in the order of user, time and file."""

    log: Log
    rows: np.ndarray

    @property
    def user(self) -> np.ndarray:
        """int64 (rows,)."""
        return np.asarray(self.log.user[self.rows])

    @property
    def item(self) -> np.ndarray:
        """int64 (rows,)."""
        return np.asarray(self.log.item[self.rows])


def clean(log: Log, settings: RecommenderFeatures) -> tuple[Interactions, dict[str, int]]:
    """Rows that count, by user, time and place in the file; and how many do not, by reason."""
    order = np.lexsort((np.arange(len(log.time)), log.time, log.user))
    dropped: dict[str, int] = {}
    if log.anonymous:
        dropped["without a user"] = log.anonymous
    # An unrated interaction is NaN, and neither.
    low, reason = log.rating[order] <= 0, NOT_LIKED
    if settings.min_rating is not None:
        low = log.rating[order] < settings.min_rating
        reason = f"rated below {settings.min_rating:g}"
    if low.any():
        dropped[reason] = int(low.sum())
        order = order[~low]
    columns = [log.user, log.item, log.time]
    if "click" in log.labels:
        # An item may be shown and clicked in the same second.
        columns.append(log.labels["click"])
    cells = np.stack([column[order].astype(np.float64) for column in columns], axis=1)
    again = _repeated(cells)
    dropped["duplicate row"] = int(again.sum())
    return Interactions(log, order[~again]), dropped


def positives(
    shown: Interactions,
    settings: RecommenderFeatures,
    dropped: dict[str, int],
    earlier: Catalog | None,
) -> tuple[Interactions, dict[str, int]]:
    """The first time that a user had an item, within the k-core."""
    rows = shown.rows
    if "click" in shown.log.labels:
        rows = rows[shown.log.labels["click"][rows] == 1]
    log = shown.log
    again = _repeated(np.stack([log.user[rows], log.item[rows]], axis=1))
    if earlier is not None:
        again |= no_news(earlier, log.users, log.items, log.user[rows], log.item[rows])
    had = rows[~again]
    kept = _core(shown.log, had, settings.core)
    counts = {"the user had the item before": int(again.sum())}
    if settings.core > 1:
        counts[f"not in the {settings.core}-core"] = len(had) - len(kept)
    return Interactions(shown.log, kept), dropped | counts


def _repeated(cells: np.ndarray) -> np.ndarray:
    """Whether a row stood before, bool (rows,)."""
    _, first = np.unique(cells, axis=0, return_index=True)
    again = np.ones(len(cells), dtype=bool)
    again[first] = False
    return again


def _core(log: Log, rows: np.ndarray, least: int) -> np.ndarray:
    """The k-core (Seidman 1983): repeats until no user and no item has fewer than `least`
    interactions."""
    while len(rows):
        enough = np.ones(len(rows), dtype=bool)
        for index in (log.user[rows], log.item[rows]):
            enough &= np.bincount(index)[index] >= least
        if enough.all():
            break
        rows = rows[enough]
    return rows


def check_size(had: Interactions, settings: RecommenderFeatures) -> None:
    """Refuses a log that is too small to judge by.

    Raises:
        BadData: how many users or items there are, and the setting that would keep more.
    """
    judged = int((np.bincount(had.user, minlength=1) >= settings.least_interactions).sum())
    items = len(np.unique(had.item))
    hint = ""
    if settings.min_rating is not None or (had.log.rating <= 0).any():
        hint = "Set a lower features.min_rating: ratings from it on count as liked"
    if settings.core > 1:
        hint = "Lower features.core"
    least, file = settings.least_interactions, had.log.file
    if judged < LEAST_USERS:
        problem = f"{judged} users have {least} interactions or more; {LEAST_USERS} are needed"
        raise BadData(problem, file=file, hint=hint)
    if items < LEAST_ITEMS:
        problem = f"{items} items; at least {LEAST_ITEMS} are needed"
        raise BadData(problem, file=file, hint=hint)


def divide(had: Interactions, least: int) -> np.ndarray:
    """Split of each interaction as an index into SPLITS, int64 (rows,)."""
    user = had.user
    counts = np.bincount(user)
    starts = np.cumsum(counts) - counts
    # 1 for a user's last interaction, 2 for the one before it.
    left = starts[user] + counts[user] - np.arange(len(user))
    split = np.zeros(len(user), np.int64)
    split[left == 1] = 2
    split[left == 2] = 1
    split[counts[user] < least] = 0
    return split
