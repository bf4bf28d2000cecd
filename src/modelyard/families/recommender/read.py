"""Reads a log of interactions and a list of items, and says exactly where it cannot."""

from __future__ import annotations

import csv
import io
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import BadData
from modelyard.families.recommender.catalog import Item
from modelyard.store.artifact import MANIFEST

SUFFIXES = (".csv", ".tsv", ".dat", ".data", ".txt", ".parquet", ".pq")
LOGS = ("interactions", "ratings", "u.data", "events")
"""Names, or beginnings of names, of the log in a folder of several files; the first that is there is read."""
ITEMS = ("items", "movies")
NAMES = {
    "user": ("userid", "user_id", "user", "customerid", "customer_id", "customer", "visitorid", "visitor_id"),
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
    "timestamp": ("timestamp", "time", "ts", "date", "datetime", "event_time", "order_date", "invoicedate"),
    "click": ("click", "clicked"),
    "conversion": ("conversion", "converted", "purchase"),
    "dwell": ("dwell", "dwell_time", "dwell_seconds"),
}
"""Column names that are understood, in any case; of several for one thing the first column is taken."""
ITEM_NAMES = {"id": ("id", *NAMES["item"]), "title": ("title", "name"), "category": ("category", "genre", "genres")}
ORDER = ("user", "item", "rating", "timestamp")
"""Columns of a log without a header: MovieLens' order."""
LABELS = ("click", "conversion", "dwell")
FLAGS = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, "false": 0.0, "true": 1.0}

Row = Sequence[Any]
Numbered = tuple[int, Row]


@dataclass(frozen=True)
class Log:
    """Interactions as they came."""

    file: str
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


def read_log(raw: Path) -> Log:
    """The interactions in `raw`.

    Raises:
        BadData: no such file or several, a missing column, or a cell that cannot be used: file, row, column.
    """
    file = _log_file(Path(raw))
    columns, rows = _open(file, NAMES, ORDER)
    return _collect(file.name, columns, rows)


def read_items(raw: Path) -> dict[str, Item]:
    """Titles and categories by item id, from `items.csv` or MovieLens' `movies.*`; empty where there is none.

    Raises:
        BadData: the file has no id column, or a row without an id.
    """
    file = next((file for file in _files(Path(raw)) if file.name.lower().startswith(ITEMS)), None)
    if file is None:
        return {}
    columns, rows = _open(file, ITEM_NAMES, ("id", "title", "category"))
    if "id" not in columns:
        raise BadData("the column is missing", file=file.name, column="id")
    found: dict[str, Item] = {}
    for number, row in rows:
        cells = dict(zip(columns, (_text(cell) for cell in row), strict=True))
        if not cells["id"]:
            raise BadData("an item without an id", file=file.name, row=number, column=columns["id"])
        category = (cells.get("category") or "").split("|")[0]
        found.setdefault(cells["id"], Item(cells["id"], cells.get("title") or None, category or None))
    return found


def _collect(file: str, columns: dict[str, str], rows: Iterable[Numbered]) -> Log:
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    user, item = array("q"), array("q")
    numbers = {name: array("d") for name in ("timestamp", "rating", *LABELS) if name in columns}
    at = {name: position for position, name in enumerate(columns)}
    parse = {"timestamp": _time, "rating": _number, "click": _flag, "conversion": _flag, "dwell": _seconds}
    row = 0
    for row, cells in rows:
        for name, known, indices in (("user", users, user), ("item", items, item)):
            text = _text(cells[at[name]])
            if not text:
                raise BadData(f"an interaction without {_A[name]}", file=file, row=row, column=columns[name])
            indices.append(known.setdefault(text, len(known)))
        for name, values in numbers.items():
            try:
                values.append(parse[name](cells[at[name]]))
            except ValueError as error:
                raise BadData(str(error), file=file, row=row, column=columns[name]) from None
    if not row:
        raise BadData("there is a header but no row below it", file=file)
    arrays = {name: np.array(values) for name, values in numbers.items()}
    rating = arrays.get("rating", np.full(len(user), np.nan))
    labels = {name: arrays[name] for name in LABELS if name in arrays}
    return Log(file, list(users), list(items), np.array(user), np.array(item), arrays["timestamp"], rating, labels)


_A = {"user": "a user", "item": "an item"}


def _text(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


def _number(cell: Any) -> float:
    text = _text(cell)
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a number")
    return value


def _time(cell: Any) -> float:
    if isinstance(cell, datetime):
        return cell.timestamp()
    text = _text(cell)
    if not text:
        raise ValueError("an interaction without a time")
    try:
        return _number(text)
    except ValueError:
        pass
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a number nor a time such as 2026-03-31 08:00:00") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _flag(cell: Any) -> float:
    text = _text(cell).lower()
    if text and text not in FLAGS:
        raise ValueError(f"{text!r} is neither 0 nor 1")
    return FLAGS.get(text, math.nan)


def _seconds(cell: Any) -> float:
    value = _number(cell)
    if value < 0:
        raise ValueError(f"{value:g} seconds: a time spent is 0 or more")
    return value


def _files(raw: Path) -> list[Path]:
    if not raw.exists():
        raise BadData("no such file or folder", file=raw)
    found = [raw] if raw.is_file() else [file for file in sorted(raw.rglob("*")) if file.is_file()]
    return [file for file in found if file.suffix.lower() in SUFFIXES and file.name != MANIFEST]


def _log_file(raw: Path) -> Path:
    """The log of a folder: the one with a known name, or the only file that is no list of items."""
    files = [file for file in _files(raw) if not file.name.lower().startswith((*ITEMS, "readme"))]
    for name in LOGS:
        if len(found := [file for file in files if file.name.lower().startswith(name)]) == 1:
            return found[0]
    if len(files) != 1:
        names = ", ".join(file.name for file in files[:6]) or "no file with interactions"
        raise BadData(
            f"one file of interactions is needed; seen: {names}", file=raw,
            hint=f"Name it interactions.csv; allowed: {', '.join(SUFFIXES)}",
        )  # fmt: skip
    return files[0]


def _open(
    file: Path, names: dict[str, tuple[str, ...]], order: Sequence[str]
) -> tuple[dict[str, str], Iterator[Numbered]]:
    """Columns that are understood (our name to the file's), and the rows' cells in their order."""
    rows = _parquet_rows(file) if file.suffix.lower() in (".parquet", ".pq") else _text_rows(file)
    first = next(rows, None)
    if first is None:
        raise BadData("the file is empty", file=file.name)
    known = {spelling: name for name, spellings in names.items() for spelling in spellings}
    header = [known.get(str(cell).strip().lower()) for cell in first]
    if not any(header):
        if order == ORDER and not any(_is_time(cell) for cell in first):
            _check_named(file, {}, first, names)
        if len(first) < len(order) - (order[0] == "id"):
            raise BadData(
                f"{len(first)} cells and no header; without one the columns are {', '.join(order)}", file=file.name,
                row=1,
            )  # fmt: skip
        columns = {name: name for name in order[: len(first)]}
        return columns, _pick(file.name, _chain(first, rows), len(first), range(len(columns)))
    places = [place for place, name in enumerate(header) if name and name not in header[:place]]
    columns = {str(header[place]): str(first[place]).strip() for place in places}
    _check_named(file, columns, first, names)
    return columns, _pick(file.name, rows, len(first), places)


def _check_named(file: Path, columns: dict[str, str], header: Row, names: dict[str, tuple[str, ...]]) -> None:
    """Refuses a log whose header lacks a column that is needed."""
    for name in (name for name in ("user", "item", "timestamp") if name in names and name not in columns):
        raise BadData(
            f"no column is the {name.removesuffix('stamp')}; seen: {', '.join(map(_text, header))}", file=file.name,
            hint=f"Rename the one that is; known names, in any case: {', '.join(names[name])}",
        )  # fmt: skip


def _is_time(cell: Any) -> bool:
    try:
        _time(cell)
    except ValueError:
        return False
    return True


def _chain(first: Row, rows: Iterator[Row]) -> Iterator[Row]:
    yield first
    yield from rows


def _pick(file: str, rows: Iterator[Row], width: int, places: Sequence[int]) -> Iterator[Numbered]:
    """The cells at `places`, with the number of their row; blank lines count and are passed over."""
    for number, row in enumerate(rows, 1):
        if len(row) == width:
            yield number, [row[place] for place in places]
        elif row:
            raise BadData(f"{len(row)} cells, expected {width}", file=file, row=number)


def _text_rows(file: Path) -> Iterator[Row]:
    """Rows of cells; MovieLens separates by '::' in .dat files, which csv cannot."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        text = file.read_text(encoding="cp1252", errors="replace")
    if "\0" in text:
        raise BadData("is binary, not text", file=file.name, hint="Save it as CSV or Parquet")
    text = text.lstrip()
    head = text.partition("\n")[0]
    if "::" in head:
        return (line.split("::") if line.strip() else [] for line in io.StringIO(text))
    delimiter = next((mark for mark in "\t;|" if mark in head and "," not in head), ",")
    return iter(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def _parquet_rows(file: Path) -> Iterator[Row]:
    import duckdb

    from modelyard.store.tables import read_parquet

    try:
        columns = read_parquet([file])
    except duckdb.Error as error:
        raise BadData(f"is not a complete Parquet file: {str(error).splitlines()[0][:160]}", file=file.name) from None
    return _chain(list(columns), zip(*columns.values(), strict=True))
