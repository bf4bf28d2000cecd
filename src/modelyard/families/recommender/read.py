"""Reads a log of interactions and a list of items, and says exactly where it cannot."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from modelyard.errors import BadData
from modelyard.families.recommender.catalog import Item
from modelyard.kit import tables
from modelyard.kit.tables import Table, Text
from modelyard.store.files import File, files_of

SUFFIXES = (*tables.SUFFIXES, ".dat", ".data", ".txt")
LOGS = ("interactions", "ratings", "u.data", "events")
"""How the log's name begins in a folder of several files; the first that is there is read."""
ITEMS = ("items", "movies")
NAMES = {
    "user": (
        "userid",
        "user_id",
        "user",
        "customerid",
        "customer_id",
        "customer",
        "visitorid",
        "visitor_id",
    ),
    "item": (
        "itemid",
        "item_id",
        "item",
        "movieid",
        "movie_id",
        "productid",
        "product_id",
        "product",
        "articleid",
        "article_id",
        "bookid",
        "book_id",
        "trackid",
        "track_id",
        "sku",
        "stockcode",
        "asin",
    ),
    "rating": ("rating", "score", "stars"),
    "timestamp": (
        "timestamp",
        "time",
        "ts",
        "date",
        "datetime",
        "event_time",
        "order_date",
        "invoicedate",
    ),
    "click": ("click", "clicked"),
    "conversion": ("conversion", "converted", "purchase"),
    "dwell": ("dwell", "dwell_time", "dwell_seconds"),
}
"""Column names that are understood, in any case; of several for one thing the first is taken."""
ITEM_NAMES = {
    "id": ("id", *NAMES["item"]),
    "title": ("title", "name"),
    "category": ("category", "genre", "genres"),
}
ORDER = ("user", "item", "rating", "timestamp")
"""Columns of a log without a header: MovieLens' order."""
LABELS = ("click", "conversion", "dwell")

Names = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Log:
    """Interactions as they came."""

    file: Path
    users: list[str]
    items: list[str]
    user: np.ndarray
    """Index into `users`, int64 (rows,)."""
    item: np.ndarray
    """Index into `items`, int64 (rows,)."""
    time: np.ndarray
    """float64 (rows,), in the file's unit."""
    rating: np.ndarray
    """float64 (rows,), NaN where there is none."""
    labels: dict[str, np.ndarray]
    """The columns of LABELS that the file has, float64 (rows,); NaN where a cell is empty."""
    notes: list[str] = field(default_factory=list)
    """How the file was read, where that is worth telling."""
    left_out: list[str] = field(default_factory=list)
    """Columns that are not used."""


def read_log(raw: Path) -> Log:
    """The interactions in `raw`.

    Raises:
        BadData: no such file or several, a missing column, or a cell that cannot be used; with
        file,
            row and column.
    """
    table, columns = _open(_log_file(Path(raw)), NAMES, ORDER)
    users, user = _ids(table, columns["user"], "an interaction without a user")
    items, item = _ids(table, columns["item"], "an interaction without an item")
    used = set(columns.values())
    rating = np.full(table.rows, np.nan)
    if "rating" in columns:
        rating = tables.numbers(table, columns["rating"])
    return Log(
        file=table.file,
        users=users,
        items=items,
        user=user,
        item=item,
        time=tables.times(table, columns["timestamp"]),
        rating=rating,
        labels=_labels(table, columns),
        notes=table.notes,
        left_out=[*(name for name in table.names if name not in used), *table.dropped],
    )


def read_items(raw: Path) -> tuple[dict[str, Item], list[str]]:
    """Titles and categories by item id, from `items.csv` or MovieLens' `movies.*`; and notes.

    Empty where there is no such file. The notes say how it was read, where that is worth telling.

    Raises:
        BadData: the file has no id column, or a row without an id.
    """
    file = next((file for file in _files(Path(raw)) if _begins(file, ITEMS)), None)
    if file is None:
        return {}, []
    table, columns = _open(file, ITEM_NAMES, tuple(ITEM_NAMES))
    if "id" not in columns:
        raise BadData("the column is missing", file=file.path, column="id")
    _check_full(table, columns["id"], "an item without an id")
    nothing: list[str | None] = [None] * table.rows
    ids = tables.texts(table, columns["id"])
    titles = tables.texts(table, columns["title"]) if "title" in columns else nothing
    categories = tables.texts(table, columns["category"]) if "category" in columns else nothing
    found: dict[str, Item] = {}
    for name, title, category in zip(ids, titles, categories, strict=True):
        first = (category or "").split("|")[0]
        found.setdefault(str(name), Item(str(name), title or None, first or None))
    return found, table.notes


def _ids(table: Table, column: str, problem: str) -> tuple[list[str], np.ndarray]:
    """The different cells in the order of the file, and each row's index into them, int64
    (rows,)."""
    _check_full(table, column, problem)
    cells = table.column(column)
    if not pa.types.is_string(cells.type):
        cells = pa.array(tables.texts(table, column), pa.string())
    encoded = cells.dictionary_encode()
    names: list[str] = encoded.dictionary.to_pylist()
    return names, encoded.indices.to_numpy().astype(np.int64)


def _labels(table: Table, columns: dict[str, str]) -> dict[str, np.ndarray]:
    labels: dict[str, np.ndarray] = {}
    for name in ("click", "conversion"):
        if name in columns:
            labels[name] = tables.flags(table, columns[name])
    if "dwell" in columns:
        seconds = tables.numbers(table, columns["dwell"])
        negative = np.flatnonzero(seconds < 0)
        if len(negative):
            row = int(negative[0])
            problem = f"{seconds[row]:g} seconds: a time spent is 0 or more"
            raise table.fault(columns["dwell"], row, problem)
        labels["dwell"] = seconds
    return labels


def _check_full(table: Table, column: str, problem: str) -> None:
    empty = table.column(column).is_null().to_numpy(zero_copy_only=False)
    if empty.any():
        raise table.fault(column, int(empty.argmax()), problem)


def _files(raw: Path) -> list[File]:
    if not raw.exists():
        raise BadData("no such file or folder", file=raw)
    return [file for file in files_of(raw) if file.name.lower().endswith(SUFFIXES)]


def _begins(file: File, words: Sequence[str]) -> bool:
    return file.path.name.lower().startswith(tuple(words))


def _log_file(raw: Path) -> File:
    """The log of a folder: the one with a known name, or the only file that is no list of items."""
    files = [file for file in _files(raw) if not _begins(file, (*ITEMS, "readme"))]
    for name in LOGS:
        if len(found := [file for file in files if _begins(file, (name,))]) == 1:
            return found[0]
    if len(files) != 1:
        names = ", ".join(file.path.name for file in files[:6]) or "no file with interactions"
        raise BadData(
            f"one file of interactions is needed; seen: {names}",
            file=raw,
            hint=f"Name it interactions.csv; allowed: {', '.join(SUFFIXES)}",
        )
    return files[0]


def _open(source: File, names: Names, order: Sequence[str]) -> tuple[Table, dict[str, str]]:
    """The rows, and the columns that are understood: our name to the file's.

    Raises:
        BadData: the file cannot be read, or its header lacks a column that is needed.
    """
    file = source.path
    if tables.is_parquet(source.name):
        table = tables.read_parquet_file(source)
    else:
        text = tables.read_text(source)
        if "::" in text.content.partition("\n")[0]:
            text = _from_double_colons(text)
        table = tables.parse_text(_with_header(text, names, order))
    columns = _understood(table.names, names)
    _check_named(file, columns, table.names, names)
    tables.check_table(table)
    return table, columns


def _from_double_colons(text: Text) -> Text:
    """MovieLens' .dat files as CSV: their quotes and commas are letters like others."""
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    for line in text.content.splitlines():
        writer.writerow(line.split("::") if line.strip() else [])
    return replace(text, content=rows.getvalue(), delimiter=",")


def _with_header(text: Text, names: Names, order: Sequence[str]) -> Text:
    """The text with the columns of `order` for a header where its first row is none."""
    first = text.header()
    if _understood(first, names):
        return text
    if names is NAMES and not any(_is_value(cell) for cell in first):
        _check_named(text.file, {}, first, names)
    least = len(order) - (names is ITEM_NAMES)
    if len(first) < least:
        problem = (
            f"{len(first)} cells and no header; without one the columns are {', '.join(order)}"
        )
        raise BadData(problem, file=text.file, row=1)
    unnamed = [""] * (len(first) - len(order))
    header = [*order[: len(first)], *unnamed]
    return replace(text, content=text.delimiter.join(header) + "\n" + text.content)


def _understood(header: Sequence[str], names: Names) -> dict[str, str]:
    """Our names to those of the header, each the first that is known."""
    known = {spelling: name for name, spellings in names.items() for spelling in spellings}
    found: dict[str, str] = {}
    for column in header:
        name = known.get(column.strip().lower())
        if name is not None:
            found.setdefault(name, column)
    return found


def _check_named(file: Path, columns: dict[str, str], header: Sequence[str], names: Names) -> None:
    """Refuses a log whose header lacks a column that is needed."""
    for name in ("user", "item", "timestamp"):
        if name in names and name not in columns:
            problem = f"no column is the {name.removesuffix('stamp')}; seen: {', '.join(header)}"
            hint = f"Rename the one that is; known names, in any case: {', '.join(names[name])}"
            raise BadData(problem, file=file, hint=hint)


def _is_value(cell: str) -> bool:
    """Whether it is a number or a date, which a header does not hold."""
    try:
        float(cell)
    except ValueError:
        pass
    else:
        return True
    try:
        datetime.fromisoformat(cell)
    except ValueError:
        return False
    return True
