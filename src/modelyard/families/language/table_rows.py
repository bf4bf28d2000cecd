"""Rows of Parquet and CSV files as the objects that JSON rows are."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from modelyard.errors import BadData
from modelyard.kit.tables import is_parquet, read_file, texts
from modelyard.store.files import File


def objects_of(file: File) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number, from 1, and cells of each row by their columns; of Parquet lists and objects too.

    Raises:
        BadData: the file cannot be read.
    """
    if is_parquet(file.name):
        try:
            table = pyarrow.parquet.read_table(BytesIO(file.read()))
        except (pa.ArrowInvalid, OSError) as error:
            raise BadData(f"is no Parquet file: {str(error)[:200]}", file=file.path) from None
        yield from enumerate(table.to_pylist(), 1)
        return
    rows = read_file(file)
    columns = {name: texts(rows, name) for name in rows.names}
    for row in range(rows.rows):
        yield rows.place(row)["row"], {name: column[row] for name, column in columns.items()}
