"""Workbooks of Excel and LibreOffice as tables: the sheets that hold rows, each read as its CSV would be."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import BadData
from modelyard.kit.tables.around import sniffed
from modelyard.kit.tables.delimited import parse_text
from modelyard.kit.tables.table import LEFT_OUT, Table, joined
from modelyard.kit.tables.text import Text
from modelyard.store.files import WORKBOOKS, File

if TYPE_CHECKING:
    from python_calamine import CalamineSheet

_FAR_MORE = 10
"""Times the rows of each other sheet that the sheet of the data has, next to legends and sums."""
_WHOLE = 2**53
"""The largest number of which a cell, a float64, holds all digits."""


def is_workbook(name: str) -> bool:
    """Whether a file of this name is one."""
    return name.lower().endswith(WORKBOOKS)


def read_workbook(file: File, *, has_header: bool | None = None) -> Table:
    """The rows of the only visible sheet that holds some, of several with the same columns, or of one
    that has far more rows than the others, which are left out with a note.

    Args:
        has_header: whether the first row of a sheet names the columns; None: as it looks.

    Raises:
        BadData: the file is no workbook or a protected one; no sheet, or several, may be the table.
    """
    sheets = _sheets(file)
    if len(sheets) == 1:
        return _table(sheets[0], file.path, has_header)
    tables: dict[str, Table] = {}
    for sheet in sheets:
        # No name of a sheet holds a bracket.
        place = Path(f"{file.path}[{sheet.name}]")
        table = _table(sheet, place, has_header)
        if table.rows:
            tables[sheet.name] = table
    if not tables:
        raise BadData("no sheet has a row below a header", file=file.path)
    by_size = sorted(tables, key=lambda name: tables[name].rows, reverse=True)
    largest = tables[by_size[0]]
    if all(set(tables[name].names) == set(largest.names) for name in by_size):
        return joined(list(tables.values()), "sheets")
    others = by_size[1:]
    if any(largest.rows < _FAR_MORE * tables[name].rows for name in others):
        seen = ", ".join(f"{name!r} ({tables[name].rows:,} rows)" for name in by_size)
        problem = f"holds {len(tables)} sheets with different columns: {seen}"
        hint = "Keep one of them in the file, or save it as CSV"
        raise BadData(problem, file=file.path, hint=hint)
    for name in others:
        count = "1 row" if tables[name].rows == 1 else f"{tables[name].rows:,} rows"
        largest.note(f"sheet {name!r}{LEFT_OUT}{count}: it has other columns")
    return largest


def _sheets(file: File) -> list[CalamineSheet]:
    """The visible sheets with cells."""
    # As with Parquet, a CSV file need not wait for it.
    from python_calamine import CalamineError, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(file.read()))
        sheets = []
        for sheet in book.sheets_metadata:
            is_visible = sheet.visible == SheetVisibleEnum.Visible
            if is_visible and sheet.typ == SheetTypeEnum.WorkSheet:
                sheets.append(book.get_sheet_by_name(sheet.name))
    except CalamineError as error:
        hint = "If it is text, name it .csv; if a password protects it, save it without"
        raise BadData(f"is not a workbook: {error}", file=file.path, hint=hint) from None
    found = [sheet for sheet in sheets if sheet.start is not None]
    if not found:
        raise BadData("no sheet holds a cell", file=file.path)
    return found


def _table(sheet: CalamineSheet, place: Path, has_header: bool | None) -> Table:
    rows = sheet.to_python()
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows(_written(row) for row in rows)
    found = sniffed(stream.getvalue(), ",")
    notes = list(found.notes)
    if any(isinstance(cell, timedelta) for row in rows for cell in row):
        notes.append(f"durations in {place.name} were read as seconds")
    text = Text(place, found.content, found.delimiter, notes)
    return parse_text(text, has_header=has_header)


def _written(row: Sequence[Any]) -> Iterable[str]:
    """Cells as a person would write them to CSV: every number in a workbook is a float."""
    for cell in row:
        if isinstance(cell, float) and cell.is_integer() and abs(cell) <= _WHOLE:
            yield str(int(cell))
        elif isinstance(cell, timedelta):
            yield str(cell.total_seconds())
        else:
            # Of some old workbooks letters come with their zero bytes.
            yield str(cell).replace("\0", "")
