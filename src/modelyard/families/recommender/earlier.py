"""What a run keeps of the model it goes on from: its users, items and histories, before those
that are new."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from modelyard.families.recommender.catalog import Catalog, by_user
from modelyard.families.recommender.config import RecommenderModel
from modelyard.kit.warm_start import check_same

FRESH = "fresh.npy"
"""In a features folder: which interactions of the catalogue are new, int64."""


def earlier_catalog(base: Path, settings: RecommenderModel) -> Catalog:
    """The earlier model's users, items and training interactions.

    Raises:
        UsageError: a setting asks for another kind of model.
    """
    kind = json.loads((base / "assets" / "model.json").read_text())["kind"]
    if settings.kind != "auto":
        check_same("model.kind", settings.kind, kind)
    return Catalog.load(base / "assets")


def no_news(
    earlier: Catalog, users: list[str], items: list[str], user: np.ndarray, item: np.ndarray
) -> np.ndarray:
    """Which interactions the earlier model was trained on already, bool (rows,); `user` and
    `item` are indices into the names `users` and `items`."""
    # A pair of a user and an item as one number.
    known = earlier.history_users * len(earlier.items) + earlier.history_items
    users_there = np.array([earlier.user_index.get(name, -1) for name in users], np.int64)[user]
    items_there = np.array([earlier.item_index.get(name, -1) for name in items], np.int64)[item]
    pairs = users_there * len(earlier.items) + items_there
    return np.asarray((users_there >= 0) & (items_there >= 0) & np.isin(pairs, known))


def merged(earlier: Catalog, new: Catalog) -> Catalog:
    """`new`, whose users and items begin with the earlier ones, with the earlier histories
    before its own."""
    users = np.concatenate([earlier.history_users, new.history_users])
    items = np.concatenate([earlier.history_items, new.history_items])
    # Stable: of one user the earlier items stay in front.
    order = np.argsort(users, kind="stable")
    popularity = new.popularity.copy()
    popularity[: len(earlier.items)] += earlier.popularity
    ends = np.cumsum(np.bincount(users, minlength=len(new.users)))
    pairs = np.concatenate([earlier.later, new.later])
    numbers = pairs @ [len(new.items), 1]
    # What was left out before may be trained on now, or left out again.
    first = np.sort(np.unique(numbers, return_index=True)[1])
    still = ~np.isin(numbers[first], users * len(new.items) + items)
    later = by_user(pairs[first[still]])
    return Catalog(new.users, new.items, items[order], ends, popularity, later=later)


def save_fresh(earlier: Catalog, catalog: Catalog, features: Path) -> None:
    """Writes which interactions of a merged `catalog` are new: each user's last ones."""
    before = np.zeros(len(catalog.users), np.int64)
    before[: len(earlier.users)] = earlier.lengths
    starts = catalog.history_ends - catalog.lengths
    place = np.arange(len(catalog.history_items)) - starts[catalog.history_users]
    np.save(Path(features) / FRESH, np.flatnonzero(place >= before[catalog.history_users]))


def load_fresh(features: Path, catalog: Catalog) -> np.ndarray:
    """Places of the interactions to train on; all of the catalogue's, where the run starts from scratch."""
    file = Path(features) / FRESH
    if not file.is_file():
        return np.arange(len(catalog.history_items))
    places: np.ndarray = np.load(file, allow_pickle=False)
    return places
