"""Requests whose label came, as further rows of the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ValidationError

from modelyard.families.tabular import divide
from modelyard.families.tabular.config import TabularFeatures
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.target import LARGEST
from modelyard.kit.arrays import find_beside, save_beside
from modelyard.kit.classes.answers import class_named
from modelyard.kit.columns.cells import as_times
from modelyard.kit.columns.host import request_model
from modelyard.kit.tables.columns import LARGEST_EXACT
from modelyard.store.labelled import LabelledRequest

if TYPE_CHECKING:
    import pandas as pd

LEAST = 10
"""Fewer labelled rows only train: a test split of one or two would tell nothing."""
MOST_TIMES = 1e6
"""A number so many times larger than any of the table's is no measurement."""
FIRST_TIME, LAST_TIME = np.datetime64("1678-01-01"), np.datetime64("2262-01-01")


@dataclass
class Labelled:
    """Rows like those of the table."""

    frame: pd.DataFrame
    y: np.ndarray
    """Class index, int64, or value, float64, (rows,)."""
    dropped: dict[str, int] = field(default_factory=dict)
    """How many requests were left out, by reason."""


def labelled_rows(
    requests: Sequence[LabelledRequest], schema: TableSchema, like: pd.DataFrame
) -> Labelled:
    """Requests as rows of the table `like`, whose columns the schema judged; the oldest first.

    A request that lacks a column which may not be empty, or holds another type there, is left out,
    as is a label that is no class of the table or no number.
    """
    import pandas as pd

    model = request_model(schema, "")
    names = [column.name for column in schema.inputs]
    most = _largest(schema, like)
    rows: list[dict[str, Any]] = []
    targets: list[float] = []
    dropped: Counter[str] = Counter()
    for labelled in requests:
        target = _target(labelled.label, schema)
        if isinstance(target, str):
            dropped[f"labelled: the label is {target}"] += 1
            continue
        # A request to an earlier model may have columns that this table has left out.
        known = {name: labelled.request[name] for name in names if name in labelled.request}
        try:
            request = model.model_validate(known)
        except ValidationError as error:
            column = str(error.errors()[0]["loc"][0])
            dropped[f"labelled: {column} does not fit the table"] += 1
            continue
        cells = _cells(request, schema)
        extreme = [name for name, value in cells.items() if _is_extreme(value, most.get(name))]
        if extreme:
            dropped[f"labelled: {extreme[0]} does not fit the table"] += 1
            continue
        rows.append(cells)
        targets.append(target)
    frame = pd.DataFrame(rows, columns=names)
    if schema.classes is None:
        y = np.array(targets, np.float64)
        frame[schema.target] = y
    else:
        y = np.array(targets, np.int64)
        frame[schema.target] = [schema.classes[code] for code in y]
    return Labelled(frame.astype(_types(frame, like)), y, dict(dropped))


def _types(frame: pd.DataFrame, like: pd.DataFrame) -> dict[str, Any]:
    """The types of the table's columns; of one that had whole numbers only so far that of numbers,
    where requests have others or none."""
    from pandas.api.types import is_integer_dtype

    types = {str(name): kind for name, kind in like.dtypes[frame.columns].items()}
    for name, kind in types.items():
        if not is_integer_dtype(kind):
            continue
        values = frame[name].astype("Float64")
        there = values.dropna()
        if not ((there % 1 == 0) & (there.abs() < LARGEST_EXACT)).all():
            types[name] = "Float64"
        elif values.isna().any():
            types[name] = "Int64"
    return types


def divided(keys: np.ndarray, settings: TabularFeatures, *, by_time: bool) -> divide.Rows:
    """Which labelled rows train, validate and test, the oldest of each first: divided as the table's
    but by themselves, so that the table's own test rows stay what they were.

    Args:
        keys: what the rows hold, uint64 (rows,), the oldest first.
    """
    count = len(keys)
    if count < LEAST:
        nothing = np.empty(0, np.int64)
        return {"train": np.arange(count), "validation": nothing, "test": nothing}
    if by_time:
        return divide.by_time(settings, np.arange(count))
    parts = divide.at_random(settings, None, keys)
    return {split: np.sort(part) for split, part in parts.items()}


def save_mask(features: Path, split: str, labelled: np.ndarray) -> None:
    """Which rows of a split were requests, bool (rows,)."""
    save_beside(features, split, "labelled", labelled)


def load_mask(features: Path, split: str) -> np.ndarray | None:
    """Which rows of a split were requests, bool (rows,); None where none were brought."""
    return find_beside(features, split, "labelled")


def _target(label: str, schema: TableSchema) -> float | str:
    """The class's index or the value; or what is wrong with the label."""
    if schema.classes is not None:
        name = class_named(label, schema.classes)
        if name is None:
            return "no class"
        return float(schema.classes.index(name))
    try:
        value = float(label)
    except ValueError:
        return "no number"
    if not np.isfinite(value):
        return "no number"
    if abs(value) > LARGEST:
        return "too large"
    return value


def _largest(schema: TableSchema, like: pd.DataFrame) -> dict[str, float]:
    """The largest number, without its sign, that a request may bring into each column of numbers: one
    of 1e300 would be the mean and the scale of its column."""
    found = {}
    for column in schema.inputs:
        is_number = column.role == "numeric" and not column.boolean and not column.words
        if is_number:
            largest = np.nanmax(np.abs(like[column.name].to_numpy(np.float64, na_value=np.nan)))
            found[column.name] = MOST_TIMES * max(1.0, float(largest))
    return found


def _is_extreme(value: Any, most: float | None) -> bool:
    """Whether a table cannot hold a cell that a request may; pandas counts nanoseconds."""
    if isinstance(value, np.datetime64):
        return not FIRST_TIME <= value <= LAST_TIME
    return most is not None and value is not None and abs(value) > most


def _cells(request: BaseModel, schema: TableSchema) -> dict[str, Any]:
    """A request's values by column, as the table holds them."""
    row = request.model_dump(by_alias=True)
    for column in schema.inputs:
        value = row[column.name]
        if value is None:
            continue
        if column.role == "time":
            row[column.name] = as_times([value])[0]
        elif column.words:
            row[column.name] = str(value)
        elif column.role in ("category", "text") and not str(value).strip():
            row[column.name] = None
    return row
