"""Rows to answer, read from a file as the rows to train on were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from modelyard.errors import BadData
from modelyard.kit.columns.cells import as_json, number_or_word
from modelyard.kit.columns.schema import Column, HasColumns
from modelyard.kit.columns.values import convert
from modelyard.kit.numerals import numeral
from modelyard.kit.tables import (
    PLACEHOLDERS,
    Notation,
    Table,
    notation,
    numbered,
    read_table,
)

if TYPE_CHECKING:
    import pandas as pd

Cells: TypeAlias = "list[Any] | pa.Array | pd.Series[Any]"
"""A column's cells (rows,), as the one who read them left them."""


class Rows(Sequence[dict[str, Any]]):
    """Rows of columns, each made when it is looked at: a dict takes ten times what its cells take."""

    def __init__(self, columns: dict[str, Cells], table: Table) -> None:
        """`columns`: cells (rows,) by name; `table`: that they come from."""
        self._columns = columns
        self.notes = table.notes
        """What reading them took for granted."""
        self.numbers = table.row_numbers()
        """The number of each row in its file, int64 (rows,)."""

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __getitem__(self, at: Any) -> Any:
        if not isinstance(at, slice):
            # A range counts from the end and raises IndexError as a list does.
            place = range(len(self))[at]
            return self[place : place + 1][0]
        columns = []
        for cells in self._columns.values():
            columns.append([as_json(cell) for cell in _as_objects(cells[at])])
        rows = zip(*columns, strict=True)
        return [dict(zip(self._columns, row, strict=True)) for row in rows]


def read_rows(file: Path, schema: HasColumns) -> Rows:
    """One JSON body a row of a CSV or Parquet file; columns that the model does not know stay as
    they came.

    Separator, encoding, notation of numbers, empty cells and dates are found out as in training; a
    date or number that can be read in two ways is read in the training data's.

    Raises:
        BadData: with file, row and column.
    """
    table = _as_called_in_training(file, schema)
    known = {column.name: column for column in schema.inputs}
    columns: dict[str, Cells] = {}
    for name in table.names:
        columns[name] = table.column(name)
        if name in known:
            columns[name] = _converted(known[name], table)
    return Rows(columns, table)


def _as_called_in_training(file: Path, schema: HasColumns) -> Table:
    """The table; where neither the training data nor this file has a header, with the names c1, c2, …
    that the columns had there, whether or not the target is in it.

    Raises:
        BadData: it has more or fewer columns than the training data.
    """
    target = getattr(schema, "target", None)
    every = {column.name for column in schema.columns} | schema.dropped.keys()
    if target is not None:
        every.add(target)
    names = numbered(len(every))
    without = [name for name in names if name != target]
    if every != set(names):
        return read_table(file)
    try:
        table = read_table(file)
    except BadData:
        # A single row that looks like names has none below it.
        table = read_table(file, has_header=False)
    if not every & set(table.names):
        # A row that looks like names, as the only one or one of words does.
        for expected in (names, without):
            if _may_be_row(table.names, expected, schema):
                table = read_table(file, has_header=False)
                break
    if table.names != numbered(len(table.names)):
        return table
    for expected in (names, without):
        if len(table.names) == len(expected):
            table.arrow = table.arrow.rename_columns(expected)
            return table
    problem = f"has {len(table.names)} columns and no header; the training data has {len(names)}"
    hint = ""
    if target is not None:
        hint = f"Give all of them, or all but {target}"
    raise BadData(problem, file=file, hint=hint)


def _may_be_row(cells: Sequence[str], names: Sequence[str], schema: HasColumns) -> bool:
    """Whether texts may be the cells of these columns: as many, with numbers where some belong."""
    if len(cells) != len(names):
        return False
    row = dict(zip(names, cells, strict=True))
    for column in schema.inputs:
        is_number = column.role == "numeric" and not column.boolean and not column.words
        cell = row[column.name]
        if is_number and numeral(cell) is None and cell.lower() not in PLACEHOLDERS:
            return False
    return True


def _converted(column: Column, table: Table) -> Cells:
    column = _as_written(column, table)
    try:
        values = convert(column, table, required=not column.nullable)
    except BadData as error:
        # What a person may do about it in training, such as leaving the column out, comes too late.
        hint = "Fix or empty the cell" if column.nullable else "Fix the cell"
        raise BadData(
            error.problem, file=error.file, row=error.row, column=error.column, hint=hint
        ) from None
    if column.words:
        texts = values.where(values.notna(), None).tolist()
        return [number_or_word(text, column.words) for text in texts]
    if values.dtype == object:
        # Arrow keeps the letters of a text and no object around them.
        return pa.array(values, from_pandas=True)
    return values


def _as_objects(cells: Cells) -> list[Any]:
    """Cells as Python has them, None for what is missing."""
    if isinstance(cells, list):
        return cells
    found: list[Any]
    if isinstance(cells, pa.Array):
        found = cells.to_pylist()
    else:
        found = cells.astype(object).where(cells.notna(), None).tolist()
    return found


def _as_written(column: Column, table: Table) -> Column:
    """The column with the notation of this file's numbers."""
    if column.role != "numeric" or column.boolean:
        return column
    written = notation(table, column.name, Notation(column.format, column.unit))
    return column.model_copy(update={"format": written.format})
