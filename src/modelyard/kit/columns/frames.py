"""A whole table: its columns judged, their cells as values, rows as JSON bodies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.errors import BadData, UsageError
from modelyard.kit.columns.cells import as_json, number_or_word
from modelyard.kit.columns.edits import Edits
from modelyard.kit.columns.infer import infer_column
from modelyard.kit.columns.schema import Column, ColumnSettings, HasColumns, near
from modelyard.kit.columns.values import convert
from modelyard.kit.tables import DELIMITERS, Table, is_delimited

if TYPE_CHECKING:
    import pandas as pd


def check_width(table: Table) -> None:
    """Refuses a text file in which no separator was found.

    Raises:
        BadData: the file, and the separators that were tried.
    """
    if len(table.names) + len(table.dropped) > 1 or not is_delimited(table.file.name):
        return
    separators = ", ".join(DELIMITERS.values())
    problem = f"only one column was found with any of the separators {separators}"
    raise BadData(problem, file=table.file, hint="Is it a CSV file?")


def check_named(setting: str, name: str, names: list[str]) -> None:
    """Refuses a setting of `features` that names a column which the table lacks.

    Raises:
        UsageError: which setting, and the columns that there are.
    """
    if name not in names:
        problem = f"column {name!r} is not in the table. {near(name, names)}"
        raise UsageError(f"setting 'features.{setting}': {problem}")


def judged(
    table: Table, names: Sequence[str], edits: Edits, settings: ColumnSettings
) -> tuple[list[Column], dict[str, pd.Series[Any]]]:
    """The columns `names` as they are judged and edited, and the values of those that are used.

    One that is left out has the role `drop`, and the reason as its description.

    Raises:
        BadData: a cell that its column's role does not allow.
    """
    columns, values = [], {}
    for name in names:
        if name in settings.drop:
            column = Column(name=name, role="drop", description="left out by features.drop")
        elif edits.role(name) == "drop":
            column = Column(name=name, role="drop", description="left out by the schema")
        else:
            given = edits.columns.get(name, {})
            inferred = infer_column(table, name, settings, given)
            column = edits.apply(inferred)
        columns.append(column)
        if column.role != "drop":
            try:
                values[name] = convert(column, table, edits.requires(name))
            except BadData as error:
                raise edits.explain(error) from None
    return columns, values


def dropped_columns(columns: Sequence[Column]) -> tuple[list[Column], dict[str, str]]:
    """The columns, and why some of them are left out."""
    cleared, reasons = [], {}
    for column in columns:
        if column.role == "drop":
            reasons[column.name] = column.description
            # A reason is no description, should a person take the column in again.
            column = column.model_copy(update={"description": ""})
        cleared.append(column)
    return cleared, reasons


def unlisted(names: Sequence[str], edits: Edits, others: Sequence[str]) -> list[str]:
    """Refuses a schema that asks for a column the table lacks; notes columns that it does not name.

    Args:
        others: columns that are no inputs, such as the target.

    Raises:
        BadData: the column, and those that there are.
    """
    for name, given in edits.columns.items():
        if name not in names and given.get("role") != "drop":
            problem = "the schema names a column that the table lacks"
            hint = near(name, list(names))
            raise BadData(problem, file=edits.file, column=name, hint=hint)
    if edits.file is None:
        return []
    note = f"columns follow {edits.file.name}"
    silent = [name for name in names if name not in edits.columns and name not in others]
    if silent:
        note += f"; inferred, not edited there: {', '.join(silent[:10])}"
    return [note]


def to_columns(frame: pd.DataFrame, schema: HasColumns) -> dict[str, np.ndarray]:
    """A split's rows as the encoder takes them; columns that the frame lacks are left out.

    Raises:
        BadData: a column is of another role in the frame, which may be that of other data.
    """
    columns = {}
    for column in schema.inputs:
        if column.name not in frame.columns:
            continue
        try:
            columns[column.name] = _cells_of(frame[column.name], column)
        except (TypeError, ValueError):
            problem = f"the model takes this column for {column.role}, and its cells are not"
            raise BadData(problem, column=column.name) from None
    return columns


def _cells_of(cells: pd.Series[Any], column: Column) -> np.ndarray:
    if column.words:
        # Text, see `values`, or the numbers of a file that has no words.
        known = [None if cell is None else str(cell) for cell in cells]
        return np.array([number_or_word(cell, column.words) for cell in known], object)
    if column.role == "numeric":
        return cells.to_numpy(np.float64, na_value=np.nan)
    if column.role == "time":
        return cells.to_numpy("datetime64[us]")
    return cells.to_numpy(object)


def bodies(file: Path, schema: HasColumns, limit: int | None) -> list[dict[str, Any]]:
    """Rows of a split's Parquet file as JSON bodies: None for an empty cell, times in ISO 8601."""
    import pyarrow.parquet

    words = {column.name: column.words for column in schema.inputs}
    table = pyarrow.parquet.read_table(file, columns=list(words))
    found = []
    for row in table.slice(0, limit).to_pylist():
        body = {}
        for name, cell in row.items():
            if words[name]:
                cell = number_or_word(cell, words[name])
            body[name] = as_json(cell)
        found.append(body)
    return found


def load_columns(features: Path, split: str, schema: HasColumns) -> dict[str, np.ndarray]:
    """The rows of a split as the encoder takes them."""
    import pandas as pd

    return to_columns(pd.read_parquet(Path(features) / f"{split}.parquet"), schema)
