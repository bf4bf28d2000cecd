"""The rows of one or several files, with the place of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from modelyard.errors import BadData, option
from modelyard.kit.tables.around import AROUND
from modelyard.settings.family import DateOrder

NO_HEADER = "has no header"
"""Words of the note on columns that a file does not name."""
TWICE = "columns have the name"
"""Words of the note on names that stand twice."""
LEFT_OUT = " is left out, with "
"""Words of the note on a file of which no row is read."""
_NAMED = 5
"""Names of columns in a note."""
_SHOWN = 40
"""Characters of a cell in a message."""


def cells_of(count: int) -> str:
    """`1 cell`, `1,234 cells`."""
    if count == 1:
        return "1 cell"
    return f"{count:,} cells"


@dataclass(frozen=True)
class TableFile:
    """A file that rows of a table come from."""

    path: Path
    rows: int
    numbers: Sequence[int] | None = None
    """The number of each row in the file, from 1 below the header; None where it is the count."""

    def row_numbers(self) -> np.ndarray:
        """The same, int64 (rows,)."""
        if self.numbers is None:
            return np.arange(1, self.rows + 1)
        return np.array(self.numbers, np.int64)


@dataclass
class Table:
    """Rows as they came: cells of a CSV are text or null, those of Parquet keep their types."""

    arrow: pa.Table
    files: list[TableFile]
    """In the order of the rows."""
    notes: list[str] = field(default_factory=list)
    """What a person should know about how the file was read."""
    dropped: dict[str, str] = field(default_factory=dict)
    """Columns left out while reading, and why."""
    delimiter: str = ","
    """What separates the cells of a CSV."""
    decimal: str | None = None
    """What stands before decimals by all columns, see `notation.file_decimal`; None: not looked
    for."""
    dates: DateOrder = "auto"
    """The setting that says how dates such as 01/02/2026 are read, see `orders`."""
    orders: dict[str, DateOrder] = field(default_factory=dict)
    """The same as all files show it, by column."""
    otherwise: dict[str, DateOrder] = field(default_factory=dict)
    """The same where neither says it, by column."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Columns that have another's name in the file: ours to that."""
    looks: dict[str, Any] = field(default_factory=dict, repr=False)
    """What `notation` saw in each column."""

    @property
    def file(self) -> Path:
        """The file to name when a problem has no row."""
        return self.files[0].path

    @property
    def names(self) -> list[str]:
        """The columns, in the order of the file."""
        return list(self.arrow.column_names)

    @property
    def rows(self) -> int:
        """How many there are."""
        return int(self.arrow.num_rows)

    def column(self, name: str) -> pa.Array:
        """Its cells in one piece, (rows,)."""
        cells = self.arrow[name].combine_chunks()
        if isinstance(cells, pa.ChunkedArray):
            return cells.combine_chunks()
        return cells

    def only(self, kept: np.ndarray) -> Table:
        """The rows that a mask (rows,) keeps, with their places in the files."""
        files, first = [], 0
        for file in self.files:
            numbers = file.row_numbers()[kept[first : first + file.rows]].tolist()
            files.append(TableFile(file.path, len(numbers), numbers))
            first += file.rows
        # What was seen in the columns is looked at again.
        return replace(self, arrow=self.arrow.filter(pa.array(kept)), files=files, looks={})

    def row_numbers(self) -> np.ndarray:
        """The number of each row in its file, or its sheet of a workbook: int64 (rows,)."""
        return np.concatenate([file.row_numbers() for file in self.files])

    def note(self, text: str) -> None:
        """Adds to the notes, once."""
        if text not in self.notes:
            self.notes.append(text)

    def place(self, row: int) -> dict[str, Any]:
        """File and row of a row of the table (from 0), for `BadData`.

        Rows of a file count from 1 below the header, blank lines too, as a spreadsheet shows them.
        """
        for file in self.files:
            if row < file.rows:
                if file.numbers is None:
                    number = row + 1
                else:
                    number = file.numbers[row]
                return {"file": file.path, "row": number}
            row -= file.rows
        raise AssertionError("row beyond the table")

    def shown(self, name: str, row: int) -> str:
        """A cell as the file has it, quoted and shortened."""
        return repr(str(self.arrow[name][row].as_py())[:_SHOWN])

    def fault(self, name: str, row: int, problem: str, hint: str = "") -> BadData:
        """What is wrong with a cell, with its place; to be raised."""
        return BadData(problem, **self.place(row), column=name, hint=hint)


def without_blanks(names: Sequence[str], file: Path) -> tuple[list[str], list[str]]:
    """Names of columns without the blanks around them, and a note where there were some.

    Raises:
        BadData: names that differ only in those blanks.
    """
    trimmed = [name.strip() for name in names]
    blank = [repr(name) for name in names if name.strip() not in ("", name)]
    if not blank:
        return trimmed, []
    for name, count in Counter(trimmed).items():
        # Columns without a name are dropped, and the same name twice has a refusal of its own.
        if not name or count == 1:
            continue
        alike = [repr(other) for other in names if other.strip() == name]
        if len(set(alike)) > 1:
            problem = f"columns differ only in the blanks around their names: {', '.join(alike)}"
            raise BadData(problem, file=file, column=name, hint="Rename all but one")
    shown = blank[:_NAMED]
    if len(blank) > _NAMED:
        shown.append("…")
    note = f"blanks around names of columns are not part of them: {', '.join(shown)}"
    return trimmed, [note]


def remarks(notes: Sequence[str]) -> str:
    """What the notes on reading add to the end of a stage's line: names that columns were
    given, lines and files that were left out, and how many other notes there are; empty for none."""
    named = [note for note in notes if NO_HEADER in note or AROUND in note or TWICE in note]
    left_out = [note.partition(LEFT_OUT)[0] for note in notes if LEFT_OUT in note]
    clauses = [f"; {note}" for note in named]
    if left_out:
        clauses.append(f"; not read: {', '.join(left_out)} (see the card)")
    others = len(notes) - len(named) - len(left_out)
    if others:
        count = "1 note" if others == 1 else f"{others} notes"
        clauses.append(f"; {count} on how cells were read (see the card)")
    return "".join(clauses)


def joined(tables: list[Table], called: str = "files") -> Table:
    """Tables with the same columns as one; those that a part has dropped are dropped from all. A note
    says how many `files`, or what they are called, were joined.

    Raises:
        BadData: a column is in one file and not in another, or holds another kind of values there.
    """
    first = tables[0]
    for other in tables[1:]:
        check_same_columns(first, other)
    if len(tables) == 1:
        return first
    dropped: dict[str, str] = {}
    files: list[TableFile] = []
    # As keys, for the same note of several files is worth telling once.
    noted: dict[str, None] = {}
    for table in tables:
        dropped |= table.dropped
        files += table.files
        noted |= dict.fromkeys(table.notes)
    notes = [*noted, f"{len(tables)} {called} were read as one table"]
    names = [name for name in first.names if name not in dropped]
    for name in names:
        _check_types(tables, name)
    parts = [table.arrow.select(names) for table in tables]
    try:
        rows = pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowInvalid as error:
        # Whole numbers beyond 2^53 here, decimals there.
        problem = f"numbers do not fit those of the other files: {error}"
        raise BadData(problem, file=first.file, hint="Save codes as text in all files") from None
    return Table(rows, files, notes, dropped, first.delimiter, renamed=first.renamed)


def check_same_columns(first: Table, other: Table, aside: Set[str] | None = None) -> None:
    """Refuses another file of the same data whose columns are others; those in `aside`, to which the setting
    features.drop adds, don't count.

    Raises:
        BadData: a column is in one file and not in the other.
    """
    differing = sorted((set(first.names) ^ set(other.names)) - (aside or set()))
    if differing:
        if differing[0] in first.names:
            where = first.file.name
        else:
            where = other.file.name
        problem = f"has other columns than {first.file.name}: {differing[0]!r} is only in {where}"
        hint = ""
        if aside is not None and len(differing) <= _NAMED:
            hint = f"Leave out what not all files have: {option('features.drop', differing)}"
        raise BadData(problem, file=other.file, hint=hint)


def _check_types(tables: list[Table], name: str) -> None:
    """Refuses a column whose values would change to fit together: numbers and text, dates and
    numbers."""
    united = pa.schema([tables[0].arrow.field(name)])
    for table in tables[1:]:
        kind = table.arrow.field(name)
        try:
            united = pa.unify_schemas([united, pa.schema([kind])], promote_options="permissive")
        except pa.ArrowException:
            problem = f"holds {kind.type} here and {united.field(name).type} in the files before"
            hint = "Save it as one type in all files"
            raise BadData(problem, file=table.file, column=name, hint=hint) from None
