"""Reads a table from CSV or Parquet, and says exactly where it cannot.

Cells of a CSV arrive as text or None; columns of a Parquet file keep their types.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import BadData
from modelyard.families.tabular.csvtext import Table, read_csv
from modelyard.store.artifact import MANIFEST

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq")


def read_table(raw: Path) -> Table:
    """The one table in `raw`: a file, or a folder of one or several files with the same columns.

    Raises:
        BadData: nothing to read, or a file that is empty, damaged, of another format, or ragged.
    """
    tables = [_read_file(file) for file in table_files(Path(raw))]
    first = tables[0]
    for other in tables[1:]:
        _same_columns(first, other)
    if len(tables) == 1:
        return first
    import pandas as pd

    frame = pd.concat([table.frame for table in tables], ignore_index=True)
    notes = list(dict.fromkeys(note for table in tables for note in table.notes))
    dropped = {name: why for table in tables for name, why in table.dropped.items()}
    kept = frame.drop(columns=[name for name in dropped if name in frame.columns])
    notes.append(f"{len(tables)} files were read as one table")
    return Table(kept, [place for table in tables for place in table.files], notes, dropped, first.delimiter)


def table_files(raw: Path) -> list[Path]:
    """The data files of a folder, sorted; a file stands for itself.

    Raises:
        BadData: none, several formats at once, or a folder that has a file's name.
    """
    if not raw.exists():
        raise BadData("no such file or folder", file=raw)
    if raw.is_file():
        if not _supported(raw):
            raise _unsupported(raw)
        return [raw]
    inside = [p for p in sorted(raw.rglob("*")) if not any(n.startswith(".") for n in p.relative_to(raw).parts)]
    for folder in (p for p in inside if p.is_dir() and p.suffix != ".parquet" and _supported(p)):
        raise BadData("is a folder, not a file", file=folder)
    files = [p for p in inside if p.is_file() and p.name != MANIFEST]
    found = [p for p in files if _supported(p)]
    if not found:
        others = [p for p in files if p.suffix.lower() not in (".json", ".md", ".dvc", ".txt", ".yaml")]
        raise (
            _unsupported(others[0])
            if len(others) == 1
            else BadData(f"holds no table. Allowed: {', '.join(SUFFIXES)}", file=raw)
        )
    if len({_is_parquet(p) for p in found}) > 1:
        names = ", ".join(p.relative_to(raw).as_posix() for p in found[:5])
        raise BadData(f"holds CSV and Parquet files at once: {names}", file=raw, hint="Keep one of them")
    return found


def _read_file(file: Path) -> Table:
    if file.stat().st_size == 0:
        raise BadData("the file is empty", file=file)
    table = _read_parquet(file) if _is_parquet(file) else read_csv(file)
    names = [str(name) for name in table.frame.columns]
    for name, count in Counter(names).items():
        if count > 1:
            raise BadData(f"{count} columns have this name", file=file, column=name, hint="Rename all but one")
    if not len(table.frame):
        raise BadData("there is a header but no row below it", file=file)
    return table


def _read_parquet(file: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        arrow = pyarrow.parquet.ParquetFile(file).read()
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise BadData(f"is not a complete Parquet file: {reason}", file=file) from None
    dropped: dict[str, str] = {}
    columns, names = [], []
    for name, column in zip(arrow.column_names, arrow.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_decimal(column.type):
            column = column.cast(pa.float64())
        if pa.types.is_nested(column.type) or pa.types.is_binary(column.type) or pa.types.is_duration(column.type):
            dropped[name] = f"holds values of type {column.type}"
        elif name.startswith("__index_level_"):
            dropped[name] = "the index of a saved data frame"
        else:
            columns.append(column)
            names.append(name)
    frame = pa.table(columns, names=names).to_pandas(ignore_metadata=True)
    for position, column in enumerate(columns):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            frame.isetitem(position, _blank_to_none(frame.iloc[:, position]))
        elif pa.types.is_boolean(column.type):
            frame.isetitem(position, frame.iloc[:, position].astype("boolean"))
        elif pa.types.is_integer(column.type) and column.null_count:
            frame.isetitem(position, frame.iloc[:, position].astype("Int64"))
    return Table(frame, [(file, arrow.num_rows)], [], dropped)


def _blank_to_none(cells: pd.Series[Any]) -> pd.Series[Any]:
    trimmed = cells.str.strip()
    return trimmed.where(trimmed.notna() & (trimmed != ""), None).astype(object)


def _same_columns(first: Table, other: Table) -> None:
    ours, theirs = {str(c) for c in first.frame.columns}, {str(c) for c in other.frame.columns}
    if ours != theirs:
        differing = sorted(ours ^ theirs)[0]
        where = first.file.name if differing in ours else other.file.name
        raise BadData(f"has other columns than {first.file.name}: {differing!r} is only in {where}", file=other.file)


def _supported(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def _unsupported(file: Path) -> BadData:
    hint = "Save the sheet as CSV" if file.suffix.lower() in (".xlsx", ".xls", ".ods") else ""
    return BadData(
        f"files named *{file.suffix or file.name} are not supported. Allowed: {', '.join(SUFFIXES)}",
        file=file,
        hint=hint,
    )
