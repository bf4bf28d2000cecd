"""Which row of an embedding stands for whom."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.read import Log


def numbering(
    log: Log, user: np.ndarray, item: np.ndarray, earlier: Catalog | None
) -> tuple[np.ndarray, np.ndarray]:
    """Index in the catalogue of each user and item of the log, -1 for those left out: not among
    `user`, `item` (rows,). Sorted by id, behind the earlier ones.

    They follow from the ids only: moving one interaction changes no other row of an embedding.
    """
    user_index: Mapping[str, int] = {}
    item_index: Mapping[str, int] = {}
    if earlier is not None:
        user_index, item_index = earlier.user_index, earlier.item_index
    users = _numbered(log.users, np.unique(user), user_index)
    items = _numbered(log.items, np.unique(item), item_index)
    return users, items


def from_number(names: list[str], number: np.ndarray, first: int) -> list[str]:
    """Names whose numbers are `first` and more, in their order."""
    kept = np.flatnonzero(number >= first)
    return [names[index] for index in kept[np.argsort(number[kept])]]


def number_listed(
    log: Log, number: np.ndarray, listed: list[str], earlier: Catalog | None
) -> list[str]:
    """Numbers, in place, items of the log that `numbering` left out and that are `listed`, and
    gives the listed ones that neither the log nor the earlier model has, to come behind all."""
    known: Mapping[str, int] = {}
    if earlier is not None:
        known = earlier.item_index
    place = {name: index for index, name in enumerate(log.items)}
    count = max(len(known), int(number.max(initial=-1)) + 1)
    new = [name for name in sorted(set(listed), key=_order) if name not in known]
    for name in new:
        if name in place and number[place[name]] < 0:
            number[place[name]] = count
            count += 1
    return [name for name in new if name not in place]


def _numbered(names: list[str], seen: np.ndarray, earlier: Mapping[str, int]) -> np.ndarray:
    number = np.array([earlier.get(name, -1) for name in names], np.int64)
    new = [index for index in seen.tolist() if number[index] < 0]
    new.sort(key=lambda index: _order(names[index]))
    number[new] = len(earlier) + np.arange(len(new))
    return number


def _order(name: str) -> tuple[int, int, str]:
    """Numbers by their value, before other ids."""
    if name.isdecimal():
        return (0, int(name), name)
    return 1, 0, name
