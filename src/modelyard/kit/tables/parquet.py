"""A Parquet file of people as a table: columns that hold plain values, in their types."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from modelyard.errors import BadData
from modelyard.kit.tables.table import Table, TableFile, without_blanks
from modelyard.store.files import File


def read_parquet_file(source: File) -> Table:
    """The columns of plain values; lists, bytes, durations and a saved index are dropped.

    Raises:
        BadData: the file is not a complete Parquet file.
    """
    # A tenth of a second, for which a CSV file need not wait.
    from pyarrow.parquet import ParquetFile

    file = source.path
    try:
        with source.open() as stream:
            rows = ParquetFile(stream).read()
    except (pa.ArrowException, OSError, ValueError) as error:
        if str(error):
            reason = str(error).splitlines()[0][:160]
        else:
            reason = type(error).__name__
        raise BadData(f"is not a complete Parquet file: {reason}", file=file) from None
    while any(pa.types.is_struct(kind) for kind in rows.schema.types):
        # The fields of a struct by both names, as those of an object in JSON.
        rows = rows.flatten()
    dropped: dict[str, str] = {}
    columns, names = [], []
    found, notes = without_blanks(rows.column_names, file)
    for name, cells in zip(found, rows.columns, strict=True):
        column = _plain(cells)
        if _is_compound(column.type):
            dropped[name] = f"holds values of type {column.type}"
        elif name.startswith("__index_level_"):
            dropped[name] = "the index of a saved data frame"
        else:
            columns.append(column)
            names.append(name)
    return Table(pa.table(columns, names=names), [TableFile(file, rows.num_rows)], notes, dropped)


def _plain(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Categories as their values, decimals as float64, or as text where that would change one
    beyond 2^53; text without blanks around it. Null where a cell is blank or NaN."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    if pa.types.is_decimal(cells.type):
        numbers = cells.cast(pa.float64())
        # Databases keep amounts and long ids alike as decimals: only the latter lose digits.
        largest = pc.max(pc.abs(numbers)).as_py()
        if largest is None or largest <= 2**53:
            return numbers
        return cells.cast(pa.string())
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        trimmed = pc.utf8_trim_whitespace(cells)
        return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, trimmed.type), trimmed)
    if pa.types.is_floating(cells.type):
        return pc.if_else(pc.is_nan(cells), pa.scalar(None, cells.type), cells)
    return cells


def _is_compound(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_duration(kind))
