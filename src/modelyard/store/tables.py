"""Flat rows in Parquet, for the reference of a package and the log of a service: DuckDB, nothing
heavier."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

Row = Mapping[str, Any]

_EXACT = 2**53
"""Whole numbers up to it are the same as floats."""


def connect() -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that never downloads an extension."""
    import duckdb

    offline = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    return duckdb.connect(":memory:", config=offline)


def identifier(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def write_parquet(rows: Sequence[Row], file: Path) -> None:
    """Writes rows with the same columns, whole or not at all: numbers as DOUBLE (whole ones
    beyond 2^53 as BIGINT), the rest as VARCHAR, None as NULL.

    A column's type follows its first value that is not None; a column of Nones is VARCHAR.
    """
    assert rows, "a table needs a row"
    columns = {name: _sql_type(rows, name) for name in rows[0]}
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as work:
        source, target = Path(work) / "rows.json", Path(work) / "rows.parquet"
        # As JSON with the columns' types: from values DuckDB would guess dates in texts.
        source.write_text("\n".join(json.dumps(dict(row)) for row in rows))
        connect().execute(
            f"COPY (SELECT * FROM read_json($source, format='newline_delimited', hive_partitioning=false,"  # noqa: S608
            f" columns={_struct(columns)}))"
            f" TO '{_quoted(str(target))}' (FORMAT parquet)",
            {"source": str(source)},
        )
        target.replace(file)


def read_parquet(files: str | Path | Sequence[Path], where: str = "true") -> dict[str, list[Any]]:
    """Columns of all Parquet files, a pattern or a list; files with different columns are united by
    name.

    Folders named `key=value` add no column: a data set may have an `hour` of its own.
    """
    paths: str | list[str] = str(files)
    if not isinstance(files, str | Path):
        paths = [str(file) for file in files]
    relation = connect().execute(
        f"SELECT * FROM read_parquet($files, union_by_name=true, hive_partitioning=false) WHERE {where}",  # noqa: S608
        {"files": paths},
    )
    names = [column[0] for column in relation.description or []]
    rows = relation.fetchall()
    columns = {}
    for place, name in enumerate(names):
        columns[name] = [row[place] for row in rows]
    return columns


def _sql_type(rows: Sequence[Row], column: str) -> str:
    values = [row[column] for row in rows if row[column] is not None]
    if not values:
        return "VARCHAR"
    if all(isinstance(value, int) for value in values):
        # Whole numbers that a float would change name something: they stay as they are.
        largest = max(map(abs, values))
        if largest >= 2**63:
            return "VARCHAR"
        if largest > _EXACT:
            return "BIGINT"
    # To Python a bool is an int.
    if isinstance(values[0], int | float) and not isinstance(values[0], bool):
        return "DOUBLE"
    return "VARCHAR"


def _struct(columns: Mapping[str, str]) -> str:
    """Columns and their types as a struct in SQL."""
    fields = [f"'{_quoted(name)}': '{kind}'" for name, kind in columns.items()]
    return "{" + ", ".join(fields) + "}"


def _quoted(text: str) -> str:
    return text.replace("'", "''")
