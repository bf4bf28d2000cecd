"""Reads a log of interactions, and says exactly where it cannot."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from modelyard.errors import BadData
from modelyard.families.recommender.config import RecommenderFeatures
from modelyard.families.recommender.lists import Listing
from modelyard.families.recommender.naming import (
    LOGS,
    NAMES,
    ORDER,
    SIDES,
    SUFFIXES,
    Names,
    begins,
    check_ids,
    files_in,
    is_list,
    is_log,
    names_of,
    open_table,
)
from modelyard.kit import tables
from modelyard.kit.json_lines import LIST
from modelyard.kit.splits import keys_of, mixed
from modelyard.kit.tables import Table
from modelyard.store.files import File, files_of

UNTIMED = (
    "The log has no times: which of a user's interactions are left out to judge by is drawn, and "
    "histories are in no order. Where the rows of each user are in the order of time: --set features.in_order=true"
)
IN_ORDER = (
    "The log has no times: the rows of each user are in the order of time (features.in_order)"
)


@dataclass(frozen=True)
class Log:
    """Interactions as they came."""

    file: Path
    columns: dict[str, str]
    """Our names to those of the file."""
    users: list[str]
    items: list[str]
    user: np.ndarray
    """Index into `users`, int64 (rows,)."""
    item: np.ndarray
    """Index into `items`, int64 (rows,)."""
    time: np.ndarray
    """float64 (rows,), in the file's unit; drawn where it has none."""
    rating: np.ndarray
    """float64 (rows,), NaN where there is none."""
    labels: dict[str, np.ndarray]
    """The columns of LABELS that the file has, float64 (rows,); NaN where a cell is empty."""
    notes: list[str] = field(default_factory=list)
    """How the file was read, where that is worth telling."""
    left_out: list[str] = field(default_factory=list)
    """Columns that are not used."""
    sides: dict[str, Listing] = field(default_factory=dict)
    """Columns about `user` and `item`, where the log has some."""
    anonymous: int = 0
    """Interactions without a user that were left out."""


def read_log(raw: Path, settings: RecommenderFeatures) -> Log:
    """The interactions in `raw`.

    Raises:
        BadData: no such file or several, a missing column, or a cell that cannot be used; with
            file, row and column.
    """
    known_names = names_of(settings, NAMES)
    file = _log_file(Path(raw), known_names)
    table, columns = open_table(file, known_names, ORDER, settings.drop)
    table.dates = settings.dates
    anonymous = 0
    if settings.anonymous == "drop":
        known = table.column(columns["user"]).is_valid().to_numpy(zero_copy_only=False)
        if not known.any():
            problem = "no interaction has a user"
            raise BadData(problem, file=table.file, column=columns["user"])
        anonymous = int((~known).sum())
        table = table.only(known)
    hint = "Leave them out: --set features.anonymous=drop"
    users, user = _ids(table, columns["user"], "an interaction without a user", hint)
    items, item = _ids(table, columns["item"], "an interaction without an item")
    used = set(columns.values())
    sides = {}
    for side, names, index in (("user", users, user), ("item", items, item)):
        others = []
        for name in table.names:
            if name not in used and name.lower().startswith(SIDES[side]):
                others.append(name)
        if others:
            sides[side] = Listing(table, [names[place] for place in index.tolist()], others)
            used.update(others)
    unused = [name for name in table.names if name not in used]
    time = _times(table, columns)
    if time is None:
        columns.pop("timestamp", None)
        if settings.in_order:
            time = np.arange(table.rows, dtype=np.float64)
            table.note(IN_ORDER)
        else:
            time = _drawn(users, items, user, item)
            table.note(UNTIMED)
    rating = np.full(table.rows, np.nan)
    if "rating" in columns:
        rating = tables.numbers(table, columns["rating"])
    return Log(
        file=table.file,
        columns=columns,
        users=users,
        items=items,
        user=user,
        item=item,
        time=time,
        rating=rating,
        labels=_labels(table, columns),
        notes=table.notes,
        left_out=[*unused, *table.dropped],
        sides=sides,
        anonymous=anonymous,
    )


def _times(table: Table, columns: dict[str, str]) -> np.ndarray | None:
    """Of each interaction, float64 (rows,); None where no column has them, or one time stands in all rows,
    which is noted."""
    if "timestamp" not in columns:
        return None
    time = tables.times(table, columns["timestamp"])
    if len(time) > 1 and time.min() == time.max():
        column = columns["timestamp"]
        table.note(f"{column}: {table.shown(column, 0)} throughout, which is no time")
        return None
    return time


def _drawn(users: list[str], items: list[str], user: np.ndarray, item: np.ndarray) -> np.ndarray:
    """A place in time for each interaction, by its user and item as if it were drawn: float64 (rows,), 0
    to 1. The order of the file would be one of names, as exports are sorted."""
    of_users, of_items = keys_of(users, 0), keys_of(items, 1)
    # Mixed, since items would keep the order of their own keys for most users.
    return np.asarray(mixed(of_users[user] ^ of_items[item]) / float(2**64))


def _ids(table: Table, column: str, problem: str, hint: str = "") -> tuple[list[str], np.ndarray]:
    """The different cells in the order of the file, and each row's index into them, int64
    (rows,)."""
    check_ids(table, column, problem, hint)
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


def _log_file(raw: Path, names: Names) -> File:
    """The log of a folder: the one with a known name, the only file that is no list of items, or the
    only one whose header names users and items."""
    files = [file for file in files_in(raw) if not is_list(file) and not begins(file, ("readme",))]
    for name in LOGS:
        found = [file for file in files if begins(file, (name,))]
        if len(found) == 1:
            return found[0]
    others = [file for file in files_of(raw) if file.suffix not in (".md", ".dvc")]
    if not files and len(others) == 1:
        if others[0].suffix == LIST:
            return others[0]
        raise tables.unsupported(others[0].path, ", ".join(SUFFIXES))
    if len(files) == 1:
        return files[0]
    logs = [file for file in files if is_log(file, names)]
    if len(logs) == 1:
        return logs[0]
    seen = ", ".join(file.path.name for file in files[:6]) or "no file with interactions"
    hint = f"Name it interactions.csv; allowed: {', '.join(SUFFIXES)}"
    if files:
        # A log is larger than what says something of its users and items.
        example = max(logs or files, key=lambda file: file.size).name
        hint = f"Give the one to read in place of the folder: --data …/{example}"
    raise BadData(f"one file of interactions is needed; seen: {seen}", file=raw, hint=hint)
