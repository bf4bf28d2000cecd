"""Tables as people save them: CSV and TSV in any usual encoding, also compressed, Parquet, and workbooks.

    table = read_table(raw)         # one file, or a folder of files with the same columns
    table.column("price")           # arrow: text or null from a CSV, the file's types from Parquet
    numbers(table, "price")         # float64, or BadData with file, row and column
    times(table, "sold")            # seconds
    table.place(17)                 # where row 17 stands: {"file": ..., "row": ...}

What was found out about a file (its encoding, what separates its cells), and what was taken for
granted about cells, is in `table.notes`, which families show.
"""

from modelyard.kit.tables.around import DELIMITERS
from modelyard.kit.tables.columns import (
    are_placeholders,
    as_numbers,
    as_texts,
    flags,
    inexact,
    numbers,
    texts,
)
from modelyard.kit.tables.delimited import parse_text
from modelyard.kit.tables.entities import find_entity, may_name, rows_of
from modelyard.kit.tables.files import (
    SUFFIXES,
    check_table,
    is_delimited,
    is_parquet,
    is_plain,
    is_quickly_read,
    of_training,
    read_file,
    read_table,
    table_files,
    unsupported,
)
from modelyard.kit.tables.header import numbered
from modelyard.kit.tables.joining import with_time
from modelyard.kit.tables.notation import (
    PLACEHOLDERS,
    Notation,
    doubt,
    is_text,
    leading_zero,
    notation,
    plainly,
    share_decimal,
)
from modelyard.kit.tables.orders import SHORT_YEARS, share_date_orders, short_years
from modelyard.kit.tables.parquet import read_parquet_file
from modelyard.kit.tables.table import Table, TableFile, cells_of, check_same_columns, remarks
from modelyard.kit.tables.text import Text, decoded, read_text
from modelyard.kit.tables.times import (
    is_dated,
    is_dates,
    is_local,
    note_offsets,
    times,
    with_offsets,
    without_offset,
)
from modelyard.kit.tables.workbooks import is_workbook

__all__ = [
    "DELIMITERS",
    "PLACEHOLDERS",
    "SHORT_YEARS",
    "SUFFIXES",
    "Notation",
    "Table",
    "TableFile",
    "Text",
    "are_placeholders",
    "as_numbers",
    "as_texts",
    "cells_of",
    "check_same_columns",
    "check_table",
    "decoded",
    "doubt",
    "find_entity",
    "flags",
    "inexact",
    "is_dated",
    "is_dates",
    "is_delimited",
    "is_local",
    "is_parquet",
    "is_plain",
    "is_quickly_read",
    "is_text",
    "is_workbook",
    "leading_zero",
    "may_name",
    "notation",
    "note_offsets",
    "numbered",
    "numbers",
    "of_training",
    "parse_text",
    "plainly",
    "read_file",
    "read_parquet_file",
    "read_table",
    "read_text",
    "remarks",
    "rows_of",
    "share_date_orders",
    "share_decimal",
    "short_years",
    "table_files",
    "texts",
    "times",
    "unsupported",
    "with_offsets",
    "with_time",
    "without_offset",
]
