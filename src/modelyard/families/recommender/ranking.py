"""Figures of ranked lists, and the baselines that rank without a network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from modelyard.families.recommender.catalog import Catalog

CUTS = (5, 10, 20)
KNN_ITEMS = 5_000
"""Above so many items the neighbours' matrix is not cheap any more."""


def ranks(lists: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Place of each target (rows,) in its list (rows, length), from 1; infinite where it is not.
    float64 (rows,)."""
    hit = lists == target[:, None]
    return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1.0, np.inf)


def figures(
    lists: np.ndarray, target: np.ndarray, users: np.ndarray, catalog: Catalog
) -> dict[str, float]:
    """Metrics of lists of item indices (rows, 20), -1 where a list has ended, against one wanted
    item a row.

    recall@k is the share of rows whose item is among the first k; NDCG@k (Järvelin and Kekäläinen
    2002) of one wanted item is 1 / log2(1 + rank); MRR counts the first 20 places. Coverage is the
    share of the catalogue that anyone is shown, novelty the mean self-information in bits (Zhou et
    al. 2010), popularity lift by how much more popular the lists are than what users had
    (Abdollahpouri et al. 2019).
    """
    # Infinite where it is not found: then its gain is 0.
    place = ranks(lists, target)
    gain = 1 / np.log2(1 + place)
    result = {}
    for k in CUTS:
        result[f"ndcg_at_{k}"] = float(np.where(place <= k, gain, 0).mean())
    for k in CUTS:
        result[f"recall_at_{k}"] = float((place <= k).mean())
    result["mrr_at_20"] = float((1 / place).mean())
    # One more for each, for the logarithm of an item that nobody had.
    share = (catalog.popularity + 1) / (catalog.popularity + 1).sum()
    profile = means(catalog)[users].mean()
    for k in CUTS:
        first = lists[:, :k]
        shown = first[first >= 0]
        novelty, popularity = 0.0, 0.0
        if len(shown):
            novelty = float(-np.log2(share[shown]).mean())
            popularity = catalog.popularity[shown].mean()
        result[f"coverage_at_{k}"] = len(np.unique(shown)) / len(catalog.items)
        result[f"novelty_at_{k}"] = novelty
        result[f"popularity_lift_at_{k}"] = float(popularity / profile - 1)
    return result


def means(catalog: Catalog) -> np.ndarray:
    """Mean popularity of what each user had in training, float64 (users,)."""
    total = np.bincount(
        catalog.history_users, catalog.popularity[catalog.history_items], len(catalog.users)
    )
    return np.asarray(total / np.maximum(catalog.lengths, 1))


def popularity_scores(catalog: Catalog, users: np.ndarray) -> Iterator[np.ndarray]:
    """The same for everyone: training interactions, float64 (items,), a user."""
    scores = catalog.popularity.astype(np.float64)
    return (scores for _ in users)


def neighbour_scores(catalog: Catalog, users: np.ndarray) -> Iterator[np.ndarray] | None:
    """Item-based neighbours: summed cosine of the columns of the training matrix with those of
    the user's items (Sarwar et al. 2001). None for a large catalogue."""
    if len(catalog.items) > KNN_ITEMS:
        return None
    likeness = together(catalog)
    length = np.sqrt(np.maximum(catalog.popularity, 1)).astype(np.float32)
    # An item is no neighbour of itself.
    np.fill_diagonal(likeness, 0)
    likeness = likeness / length / length[:, None]
    return (likeness[catalog.history(user)].sum(axis=0) for user in users.tolist())


def together(catalog: Catalog) -> np.ndarray:
    """How many users had both of two items in training, float32 (items, items); of an item and
    itself, how many had it."""
    counts = np.zeros((len(catalog.items), len(catalog.items)), np.float32)
    for user in range(len(catalog.users)):
        had = catalog.history(user)
        counts[np.ix_(had, had)] += 1
    return counts
