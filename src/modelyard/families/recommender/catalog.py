"""What is known of users and items, as a package carries it: the assets, for those who write and
those who read.

    users.json            ids by index
    items.json            {"id", "title", "category", "listed"} by index
    history_items.npy     int64: the training items of user 0, then of user 1, … each user's by time
    history_ends.npy      int64 (users,): where each user's items end
    popularity.npy        int64 (items,): training interactions of each item
    columns.json          what the log calls its column of users
    later.npy             int64 (interactions, 2): user and item of what was left out to judge, by user and time

    user_columns/ item_columns/     what is known of users and items besides: see profiles.py

Added by training:

    model.json            which network, and its sizes
    item_vectors.npy      float32 (items, dimensions), of length 1: what likeness of items is told by
    retrieval.npz         of kinds that read histories: the items' vectors that find candidates
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.families.recommender.profiles import ITEMS, USERS, Side


@dataclass(frozen=True)
class Item:
    """An item of the catalogue."""

    id: str
    title: str | None = None
    category: str | None = None
    listed: bool = False
    """Whether it is only in the list of items: nobody had it."""


@dataclass(frozen=True)
class Catalog:
    """Users, items, and who had what in training."""

    users: list[str]
    items: list[Item]
    history_items: np.ndarray
    """Training items, int64 (interactions,), by user and time."""
    history_ends: np.ndarray
    """Where each user's end, int64 (users,)."""
    popularity: np.ndarray = field(repr=False)
    """Training interactions of each item, int64 (items,)."""
    user_side: Side | None = field(default=None, repr=False)
    """Columns of the users, where the model takes some."""
    item_side: Side | None = field(default=None, repr=False)
    later: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64), repr=False)
    """User and item of what users had after their training items, int64 (interactions, 2), by user
    and time: left out to judge, and known to whoever is answered."""

    @classmethod
    def load(cls, assets: Path) -> Catalog:
        """Reads what `save` wrote."""
        assets = Path(assets)
        arrays = [np.load(assets / f"{name}.npy", allow_pickle=False) for name in _ARRAYS]
        users = json.loads((assets / "users.json").read_text())
        items = [Item(**item) for item in json.loads((assets / "items.json").read_text())]
        history, ends, popularity = arrays
        user_side, item_side = Side.load(assets / USERS), Side.load(assets / ITEMS)
        found = cls(users, items, history, ends, popularity, user_side, item_side)
        later = assets / LATER
        # Packages of earlier versions have no such file.
        if later.is_file():
            return replace(found, later=np.load(later, allow_pickle=False))
        return found

    def save(self, assets: Path) -> None:
        """Writes the six files; side.py writes the columns."""
        items = []
        for item in self.items:
            row: dict[str, Any] = {"id": item.id, "title": item.title, "category": item.category}
            if item.listed:
                row["listed"] = True
            items.append(row)
        (Path(assets) / "users.json").write_text(json.dumps(self.users))
        (Path(assets) / "items.json").write_text(json.dumps(items))
        for name in _ARRAYS:
            np.save(Path(assets) / f"{name}.npy", getattr(self, name))
        np.save(Path(assets) / LATER, self.later)

    def without_columns(self) -> Catalog:
        """For a model that takes none."""
        return replace(self, user_side=None, item_side=None)

    def trained(self) -> Catalog:
        """Without what users had later: for judging by it."""
        return replace(self, later=self.later[:0])

    @cached_property
    def learnable(self) -> np.ndarray:
        """Which items can be told from others, bool (items,): where columns say what an item is, all;
        else those that somebody had, in training or after it."""
        if self.item_side is not None:
            return np.ones(len(self.items), bool)
        return np.array([not item.listed for item in self.items], bool)

    @cached_property
    def user_index(self) -> dict[str, int]:
        """Position of each user's id."""
        return {name: index for index, name in enumerate(self.users)}

    @cached_property
    def item_index(self) -> dict[str, int]:
        """Position of each item's id."""
        return {item.id: index for index, item in enumerate(self.items)}

    @cached_property
    def history_users(self) -> np.ndarray:
        """Users of `history_items`, int64 (interactions,)."""
        return np.repeat(np.arange(len(self.users)), self.lengths)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Training interactions of each user, int64 (users,)."""
        return np.diff(self.history_ends, prepend=0)

    @cached_property
    def categories(self) -> list[str]:
        """The categories that items have, in the order of the items: appended items append
        theirs."""
        found: dict[str, None] = {}
        for item in self.items:
            if item.category is not None:
                found[item.category] = None
        return list(found)

    def history(self, user: int) -> np.ndarray:
        """A user's training items by time, int64 (length,)."""
        start = self.history_ends[user - 1] if user else 0
        return np.asarray(self.history_items[start : self.history_ends[user]])

    def had(self, user: int) -> np.ndarray:
        """All that a user had by time, int64 (length,): training items and those left out."""
        # Sorted by user: theirs are the rows from the first one of the user to that of the next.
        first, last = np.searchsorted(self.later[:, 0], [user, user + 1])
        return np.concatenate([self.history(user), self.later[first:last, 1]])


def by_user(pairs: np.ndarray) -> np.ndarray:
    """Users and items, int64 (rows, 2), sorted by user; each user's in the order that they had."""
    return np.asarray(pairs[np.argsort(pairs[:, 0], kind="stable")], np.int64)


LATER = "later.npy"
COLUMNS = "columns.json"
_ARRAYS = ("history_items", "history_ends", "popularity")
