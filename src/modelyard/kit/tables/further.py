"""Further lines of a header: units or descriptions below the names, and names below those of groups."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from modelyard.kit.numerals import numeral
from modelyard.kit.tables.around import left_out
from modelyard.kit.tables.notation import PLACEHOLDERS

_MOST = 2
"""Further lines: questionnaires have two, the questions and how they were imported."""
_SHOW, _LEAST = 100, 3
"""Rows that show what a column holds: at most, at least."""


def further_lines(rows: pa.Table) -> list[list[str]]:
    """The first rows (texts), where they belong to the header: none of the columns of figures, numbers
    or dates, has one there, and several have a word."""
    below = rows.slice(_MOST, _SHOW)
    if below.num_rows < _LEAST:
        return []
    places = [place for place, cells in enumerate(below.columns) if _are_figures(cells)]
    if len(places) < 2:
        return []
    found = []
    for row in rows.slice(0, _MOST).to_pylist():
        line = [cell.strip() for cell in row.values()]
        above = [line[place] for place in places if not _is_blank(line[place])]
        # Of two columns both may lack a figure, and say so.
        are_one_word = len(set(above)) < 2 and len(above) < 3
        if are_one_word or any(_is_error(cell) or _is_figure(cell) for cell in above):
            break
        found.append(line)
    return found


def with_further(
    header: Sequence[str], lines: Sequence[Sequence[str]]
) -> tuple[list[str], list[str]]:
    """The names of the columns by a header of several lines, and notes.

    Below a line that names each column once the others describe it, and are left out. Else it names
    groups, as over joined cells: a name that stands below several has its group in front.
    """
    names, notes, described = list(header), [], []
    for line in lines:
        if _names_all(names, line):
            described.append(", ".join(cell for cell in line if not _is_blank(cell)))
        else:
            names = _in_groups(names, line)
            notes = ["names of groups of columns stand before names that several of them have"]
    if described:
        notes.append(left_out(described, "below the header"))
    return names, notes


def _names_all(names: Sequence[str], line: Sequence[str]) -> bool:
    """Whether each column that the line fills has a name above, of its own."""
    given = [name for name in names if name]
    are_named = all(name or _is_blank(cell) for name, cell in zip(names, line, strict=True))
    return are_named and len(set(given)) == len(given)


def _in_groups(groups: Sequence[str], line: Sequence[str]) -> list[str]:
    own = [cell or group for cell, group in zip(line, groups, strict=True)]
    names, group = [], ""
    for given, name in zip(groups, own, strict=True):
        # Of joined cells only the first is filled.
        group = given or group
        stands_alone = own.count(name) == 1 or name == group
        names.append(name if stands_alone else f"{group} {name}".strip())
    return names


def _are_figures(cells: pa.ChunkedArray) -> bool:
    """Whether a column holds nothing but figures and blanks, with one figure at least."""
    there = [cell.strip() for cell in cells.to_pylist() if not _is_blank(cell.strip())]
    return bool(there) and all(_is_figure(cell) for cell in there)


def _is_figure(cell: str) -> bool:
    """Whether it is a number, or begins with one as a date does."""
    return cell[:1].isdigit() or numeral(cell) is not None


def _is_blank(cell: str) -> bool:
    return not cell or cell.lower() in PLACEHOLDERS


def _is_error(cell: str) -> bool:
    """Whether it is what a spreadsheet writes in place of a number: `#DIV/0!`."""
    return cell.startswith("#") and cell.endswith(("!", "?"))
