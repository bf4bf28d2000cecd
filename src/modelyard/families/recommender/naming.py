"""Which files and columns are understood, and how a file is opened."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow.compute as pc

from modelyard.errors import BadData, choices, option
from modelyard.families.recommender.config import RecommenderFeatures
from modelyard.families.recommender.forms import read_form, spaced
from modelyard.families.recommender.requests import LONGEST_ID
from modelyard.kit import tables
from modelyard.kit.json_lines import JSON, ROWS
from modelyard.kit.tables import Table, Text
from modelyard.store.files import WORKBOOKS, File, files_of

SUFFIXES = (
    *tables.SUFFIXES,
    *WORKBOOKS,
    *sorted(ROWS),
    ".dat",
    ".data",
    ".txt",
    ".inter",
    ".rating",
)
LISTS = {"item": ".item", "user": ".user"}
"""Endings of RecBole's lists, which lie next to an `.inter`."""
LOGS = ("interactions", "ratings", "u.data", "events")
"""How the log's name begins in a folder of several files; the first that is there is read."""
ITEMS, USERS = ("items", "movies"), ("users", "customers")
"""How the names of the lists of items and users begin."""
NAMES = {
    "user": (
        *("user_id", "user", "customer_id", "customer", "visitor_id", "reviewer_id"),
        *("member_id", "client_id", "account_id", "person_id", "uid"),
    ),
    "item": (
        *(
            "item_id",
            "item",
            "movie_id",
            "product_id",
            "product",
            "article_id",
            "book_id",
            "track_id",
        ),
        *(
            "sku",
            "stock_code",
            "asin",
            "business_id",
            "anime_id",
            "game_id",
            "recipe_id",
            "song_id",
        ),
        *("isbn", "artist_id", "content_id", "video_id", "course_id", "news_id", "restaurant_id"),
        "iid",
    ),
    "rating": ("rating", "score", "stars", "overall", "book_rating", "user_rating"),
    "timestamp": (
        *(
            "timestamp",
            "time",
            "ts",
            "date",
            "datetime",
            "event_time",
            "order_date",
            "invoice_date",
        ),
        "unix_review_time",
    ),
    "click": ("click", "clicked"),
    "conversion": ("conversion", "converted", "purchase"),
    "dwell": ("dwell", "dwell_time", "dwell_seconds"),
}
"""Column names that are understood, in any case, in one word or several (`userId`, `User-ID`); of
several for one thing the first is taken."""
ITEM_NAMES = {
    "id": ("id", *NAMES["item"]),
    "title": ("title", "name", "movie_title", "item_title", "product_title", "product_name"),
    "category": ("category", "genre", "genres"),
}
USER_NAMES = {"id": ("id", *NAMES["user"])}
SIDES = {"user": ("user_", "user."), "item": ("item_", "item.")}
"""How further columns of a log begin that tell something of its users and items."""
ORDER = ("user", "item", "rating", "timestamp")
"""Columns of a log without a header: MovieLens' order."""
USER_ORDER = ("id", "gender", "age", "occupation", "zip")
"""The same of MovieLens' `users.dat`."""
LABELS = ("click", "conversion", "dwell")

OPTIONAL = ("rating", "timestamp")
"""Columns that a log may lack."""
_LIKE_A_TIME = re.compile(r"(?i:time|date|epoch|(?:^|[_ ])(?:at|ts)$)|[a-z]At$")
"""Names that a column of times may have: `created_at`, `createdAt`; `format` is none."""
_LEAST_EPOCH = 1e8
COLUMNS = {
    "user": "user_column",
    "item": "item_column",
    "timestamp": "time_column",
    "rating": "rating_column",
}
"""The settings that name columns of a log, by our names."""

Names = dict[str, tuple[str, ...]]
"""Our names to the spellings that are understood; one spelling where a setting says it."""


def names_of(settings: RecommenderFeatures, names: Names, *, of_list: str = "") -> Names:
    """The names with those that the settings give; `of_list`: whose ids a list holds."""
    found = dict(names)
    for ours, setting in COLUMNS.items():
        given = getattr(settings, setting)
        if given is None:
            continue
        if of_list == ours:
            found["id"] = (given, *found["id"])
        elif not of_list:
            found[ours] = (given,)
    return found


def check_ids(table: Table, column: str, problem: str, hint: str = "") -> None:
    """Refuses a column of ids that cannot be asked for.

    Raises:
        BadData: a cell is empty, which is the `problem`, or longer than a request may say it.
    """
    cells = table.column(column)
    empty = cells.is_null().to_numpy(zero_copy_only=False)
    if empty.any():
        count = int(empty.sum())
        if count > 1:
            problem += f" ({count:,} such rows)"
        raise table.fault(column, int(empty.argmax()), problem, hint)
    if not tables.is_text(cells):
        return
    lengths = pc.utf8_length(cells).to_numpy(zero_copy_only=False)
    if lengths.max(initial=0) > LONGEST_ID:
        row = int(lengths.argmax())
        problem = f"an id of {lengths[row]} characters; requests take at most {LONGEST_ID}"
        raise table.fault(column, row, problem)


def without_labels(missing: list[str]) -> BadData:
    """What is wrong with a log that lacks columns which `multitask` learns."""
    if len(missing) == len(LABELS):
        lacking = "all three"
    else:
        lacking = ", ".join(missing)
    problem = (
        f"model.kind=multitask needs the columns click, conversion and dwell; missing: {lacking}"
    )
    return BadData(problem, hint="Type: --set model.kind=lightgcn")


def files_in(raw: Path) -> list[File]:
    if not raw.exists():
        raise BadData("no such file or folder", file=raw)
    endings = (*SUFFIXES, *LISTS.values())
    return [file for file in files_of(raw) if file.name.lower().endswith(endings)]


def begins(file: File, words: Sequence[str]) -> bool:
    return file.path.name.lower().startswith(tuple(words))


def is_list(file: File) -> bool:
    """Whether a file is named as lists of items or users are."""
    return begins(file, (*ITEMS, *USERS)) or file.suffix in LISTS.values()


def open_table(
    source: File, names: Names, order: Sequence[str], drop: Collection[str] = ()
) -> tuple[Table, dict[str, str]]:
    """The rows, and the columns that are understood: our name to the file's.

    Args:
        order: of the columns where the file has no header.
        drop: columns that are not used.

    Raises:
        BadData: the file cannot be read, or its header lacks a column that is needed.
    """
    file = source.path
    if _names_columns(source):
        # These name their columns; text may come without a header.
        table = tables.read_file(source)
    else:
        text = read_form(source)
        if "user" in names:
            text = spaced(text)
        table = tables.parse_text(_with_header(text, names, order))
    columns = understood(table.names, names)
    _check_named(file, columns, table.names, names)
    if "timestamp" in names and "timestamp" not in columns:
        _check_untimed(table, columns, names, drop)
    tables.check_table(table)
    return table, columns


def _check_untimed(
    table: Table, columns: dict[str, str], names: Names, drop: Collection[str]
) -> None:
    """Refuses a log without a known column of times where another one may be it: which of a user's
    interactions was the last is not drawn then.

    Raises:
        BadData: with that column.
    """
    for name in table.names:
        if name in columns.values() or name in drop:
            continue
        if _LIKE_A_TIME.search(name) or tables.is_dated(table, name):
            raise _unnamed(table.file, "timestamp", table.names, names, name)


def _with_header(text: Text, names: Names, order: Sequence[str]) -> Text:
    """The text with the columns of `order` for a header where its first row is none."""
    first = text.header()
    # `purchase` may by itself be what a first row without a header says.
    if understood(first, names).keys() & {"user", "item", "id"}:
        return text
    if any(names.get(ours) != NAMES[ours] for ours in COLUMNS if ours in names):
        # Somebody named columns, if only by the c1, c2, … that they get without a header.
        return text
    if "title" not in names and not any(_is_value(cell) for cell in first):
        _check_named(text.file, {}, first, names)
    least = len(order)
    if "title" in names:
        # The last column, the category, may be missing.
        least -= 1
    if "timestamp" in names:
        # So may ratings and times.
        least = 2
        if len(first) == 3 and _is_moment(first[2]):
            order = ("user", "item", "timestamp")
    if len(first) < least:
        problem = (
            f"{len(first)} cells and no header; without one the columns are {', '.join(order)}"
        )
        raise BadData(problem, file=text.file, row=1)
    unnamed = [""] * (len(first) - len(order))
    header = [*order[: len(first)], *unnamed]
    return replace(text, content=text.delimiter.join(header) + "\n" + text.content)


def understood(header: Sequence[str], names: Names) -> dict[str, str]:
    """Our names to those of the header, each the first that is known."""
    known = {}
    for name, spellings in names.items():
        for spelling in spellings:
            known[_spelt(spelling)] = name
    found: dict[str, str] = {}
    for column in header:
        ours = known.get(_spelt(column))
        if ours is not None:
            found.setdefault(ours, column)
    return found


def _check_named(file: Path, columns: dict[str, str], header: Sequence[str], names: Names) -> None:
    """Refuses a log whose header lacks a column that is needed."""
    for name, setting in COLUMNS.items():
        if name not in names or name in columns:
            continue
        if names[name] != NAMES[name]:
            problem = choices("column", names[name][0], header)
            raise BadData(f"{problem} (features.{setting})", file=file)
        if name not in OPTIONAL:
            raise _unnamed(file, name, header, names)
    if "id" in names and "id" not in columns:
        side = "item" if "title" in names else "user"
        known = ", ".join(names["id"])
        problem = f"no column is the {side}; seen: {', '.join(header)}"
        hint = f"Type: --set features.{side}_column=NAME. Known by themselves, in any case: {known}"
        raise BadData(problem, file=file, hint=hint)


def _unnamed(
    file: Path, name: str, header: Sequence[str], names: Names, guess: str = ""
) -> BadData:
    """What is wrong with a log in which a column is not known by its name, to be raised."""
    problem = f"no column is the {name.removesuffix('stamp')}; seen: {', '.join(header)}"
    setting = f"features.{COLUMNS[name]}"
    if guess:
        hint = f"Type: {option(setting, guess)}; or, if it is another one's: "
        hint += option("features.drop", [guess])
    else:
        hint = f"Type: --set {setting}=NAME. Known by themselves, in any case: "
        hint += ", ".join(names[name])
    return BadData(problem, file=file, hint=hint)


def is_log(file: File, names: Names) -> bool:
    """Whether a text file names columns of users and items."""
    if _names_columns(file) or not file.size:
        return False
    return {"user", "item"} <= understood(read_form(file).header(), names).keys()


def _names_columns(file: File) -> bool:
    is_typed = tables.is_parquet(file.name) or tables.is_workbook(file.name)
    return is_typed or file.suffix in JSON


def _spelt(name: str) -> str:
    """In one word, as all spellings of a name are alike."""
    return re.sub(r"[\s_-]", "", name).lower()


def _is_moment(cell: str) -> bool:
    """Whether it is a date, or a number as large as times since 1970 are and no rating is."""
    try:
        return float(cell) >= _LEAST_EPOCH
    except ValueError:
        return _is_value(cell)


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
