"""What the card tells about the columns of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.kit.columns.schema import MOST_CHOICES, Column, ColumnSchema, HasColumns
from modelyard.kit.wording import count_of

if TYPE_CHECKING:
    import pandas as pd


def overview_of(
    frame: pd.DataFrame,
    schema: ColumnSchema,
    rows: Mapping[str, np.ndarray],
    *more: dict[str, Any],
) -> dict[str, Any]:
    """What `features` returns of the rows of a table, divided as `rows` says; a family adds the rest.

    Args:
        more: tables for the card, after that of the columns.
    """
    tables = [columns_table(frame, schema), *more]
    if schema.dropped:
        tables.append(left_out_table(schema.dropped))
    return {
        "rows": {split: len(part) for split, part in rows.items()},
        "dropped": {},
        "left_out": list(schema.dropped),
        "columns": len(schema.inputs),
        "headline": f"{len(frame):,} rows × {count_of(len(schema.inputs), 'column')}",
        "tables": tables,
        "warnings": copies(frame, rows),
    }


def with_ranges(columns: Sequence[Column], train: pd.DataFrame) -> list[Column]:
    """The columns with examples, ranges and choices as the training rows show them."""
    found = []
    for column in columns:
        if column.role != "drop":
            column = _with_range(column, train[column.name])
        found.append(column)
    return found


def columns_table(frame: pd.DataFrame, schema: HasColumns) -> dict[str, Any]:
    """Role, transform, missing cells and an example of each column."""
    rows = []
    for column in schema.inputs:
        cells = frame[column.name]
        role = str(column.role)
        if column.boolean:
            role = "boolean"
        elif column.words:
            role = "numeric or a word"
        example = ""
        if column.examples:
            example = str(column.examples[0])
        missing = f"{100 * cells.isna().mean():.1f}"
        transform = column.transform or ""
        rows.append([column.name, role, transform, missing, int(cells.nunique()), example])
    return {
        "title": "Columns",
        "columns": ["column", "role", "transform", "missing %", "distinct", "example"],
        "rows": rows,
    }


def left_out_table(dropped: Mapping[str, str]) -> dict[str, Any]:
    """Columns that are no inputs, and why."""
    return {
        "title": "Columns left out",
        "columns": ["column", "why"],
        "rows": [[name, why] for name, why in dropped.items()],
    }


def copies(frame: pd.DataFrame, rows: Mapping[str, np.ndarray]) -> list[str]:
    """Says how many validation and test rows are also in training, where they flatter the figures; else
    how many rows are copies of others."""
    import pandas as pd

    # 64 bits: that two of a million different rows share a hash has a chance of 3 in 10^8.
    hashes = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    known = hashes[rows["train"]]
    total, shown = 0, []
    for split in ("validation", "test"):
        count = int(np.isin(hashes[rows[split]], known).sum())
        if count:
            total += count
            shown.append(f"{count:,} {split}")
    each = " and ".join(shown)
    if total == 0:
        return _together(len(hashes) - len(np.unique(hashes)), len(hashes))
    if total == 1:
        said = f"{each} row is an exact copy of a training row and flatters the figures"
    else:
        said = f"{each} rows are exact copies of training rows and flatter the figures"
    return [f"{said}. If they are the same event, remove the copies from the data"]


def _together(count: int, rows: int) -> list[str]:
    if not count:
        return []
    if count == 1:
        are = "is a copy of another"
    else:
        are = "are copies of others"
    said = f"{count:,} of {rows:,} rows {are}; they are in the split of these, so that none is judged on "
    return [f"{said}that was learnt. If they are the same event, remove them from the data"]


def _with_range(column: Column, cells: pd.Series[Any]) -> Column:
    there = _measured(column, cells).dropna()
    some = there.iloc[:200].unique()[:3]
    update: dict[str, Any] = {"examples": [_plain(value) for value in some]}
    has_range = column.role == "numeric" and not column.boolean
    if has_range and len(there):
        update |= {"minimum": float(there.min()), "maximum": float(there.max())}
    # The order of choices that a person has given must stay.
    is_ordered = column.transform == "ordinal" and bool(column.choices)
    if column.role == "category" and not is_ordered:
        most_frequent = there.value_counts().index[:MOST_CHOICES]
        update["choices"] = [str(name) for name in most_frequent]
    return column.model_copy(update=update)


def _measured(column: Column, cells: pd.Series[Any]) -> pd.Series[Any]:
    """The cells, of numbers and words the numbers."""
    if column.words:
        return cells[~cells.isin(column.words)].astype(float)
    return cells


def _plain(value: Any) -> float | bool | str:
    """A cell as JSON holds it, cut to 80 characters."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, float, np.number)):
        return float(value)
    if isinstance(value, np.datetime64) or hasattr(value, "isoformat"):
        return str(np.datetime64(value, "s"))
    return str(value)[:80]
