"""Reads the lists of items and users."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from modelyard.families.recommender.catalog import Item
from modelyard.families.recommender.config import RecommenderFeatures
from modelyard.families.recommender.forms import categories_of, is_typed
from modelyard.families.recommender.naming import (
    ITEM_NAMES,
    ITEMS,
    LISTS,
    USER_NAMES,
    USER_ORDER,
    USERS,
    begins,
    check_ids,
    files_in,
    names_of,
    open_table,
)
from modelyard.kit import tables
from modelyard.kit.tables import Table

KINDS = (
    ("item", "an item", ITEMS, ITEM_NAMES, tuple(ITEM_NAMES)),
    ("user", "a user", USERS, USER_NAMES, USER_ORDER),
)


@dataclass(frozen=True)
class Listing:
    """Rows about users or items."""

    table: Table
    ids: list[str]
    """Whom each row is about."""
    names: list[str]
    """The columns that tell something."""
    categories: list[str] = field(default_factory=list)
    """Those of them that the file says are categories."""


@dataclass(frozen=True)
class Lists:
    """What the lists of items and users say."""

    titles: dict[str, Item] = field(default_factory=dict)
    sides: dict[str, Listing] = field(default_factory=dict)
    """Columns about `user` and `item`."""
    notes: list[str] = field(default_factory=list)
    """How the files were read, where that is worth telling."""


def read_lists(raw: Path, settings: RecommenderFeatures) -> Lists:
    """Titles, categories and further columns by item id, from `items.csv` or MovieLens' `movies.*`;
    columns by user id, from `users.csv` or `customers.csv`. Nothing where there is no such file.

    Raises:
        BadData: a file has no id column, or a row without an id.
    """
    files = files_in(Path(raw))
    found = Lists()
    for side, one, words, names, order in KINDS:
        named = []
        for file in files:
            if begins(file, words) or (file.suffix == LISTS[side] and is_typed(file)):
                named.append(file)
        if not named:
            continue
        table, columns = open_table(named[0], names_of(settings, names, of_list=side), order)
        check_ids(table, columns["id"], f"{one} without an id")
        ids = [str(cell) for cell in tables.texts(table, columns["id"])]
        if side == "item":
            found.titles.update(_titles(table, columns, ids))
        used = {columns["id"], columns.get("title")}
        if others := [name for name in table.names if name not in used]:
            categories = []
            if named[0].suffix == LISTS[side]:
                categories = [name for name in categories_of(named[0]) if name in others]
            found.sides[side] = Listing(table, ids, others, categories)
        found.notes.extend(table.notes)
    return found


def _titles(table: Table, columns: dict[str, str], ids: list[str]) -> dict[str, Item]:
    titles: list[str | None] = [None] * table.rows
    categories: list[str | None] = [None] * table.rows
    if "title" in columns:
        titles = tables.texts(table, columns["title"])
    if "category" in columns:
        categories = tables.texts(table, columns["category"])
    found: dict[str, Item] = {}
    for name, title, category in zip(ids, titles, categories, strict=True):
        # MovieLens has several genres in a cell: Comedy|Drama.
        first = (category or "").split("|")[0]
        found.setdefault(name, Item(name, title or None, first or None))
    return found
