"""Further lines of a header: units or descriptions below the names, and names below those of groups."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from modelyard.kit.moments import is_written_out
from modelyard.kit.numerals import numeral
from modelyard.kit.tables.around import left_out
from modelyard.kit.tables.notation import MISSING, PLACEHOLDERS

_MOST = 2
"""Further lines: questionnaires have two, the questions and how they were imported."""
_SHOW, _LEAST = 100, 3
"""Rows that show what a column holds: at most, at least."""


def further_lines(header: Sequence[str], rows: pa.Table) -> list[list[str]]:
    """The first rows (texts), where they belong to the header: none of the columns of figures, numbers
    or dates, has one there, several have a word, and no cell stands in its column again. Below them
    the name of the index, as pandas writes it.
    """
    below = rows.slice(_MOST, _SHOW)
    if below.num_rows < _LEAST:
        return []
    firsts = [column[0].as_py().strip() for column in rows.columns]
    places = []
    for place, cells in enumerate(below.columns):
        if not _are_figures(cells):
            continue
        # Of nearly every table the first such column ends the search.
        if _is_no_word(firsts[place]):
            return []
        places.append(place)
    if len(places) < 2:
        return []
    found: list[list[str]] = []
    for row in rows.slice(0, _MOST).to_pylist():
        line = [cell.strip() for cell in row.values()]
        if found and _names_index(line, header, found, has_figures=0 in places):
            return [*found, line]
        if not _is_further(line, places) or _stand_below(line, rows.slice(len(found) + 1)):
            break
        found.append(line)
    return found


def _is_further(line: Sequence[str], places: Sequence[int]) -> bool:
    """Whether several columns of figures have a word in a line, and none a figure. One word in all of
    them may say that a row lacks them, where it has other cells."""
    above = [line[place] for place in places if not _is_blank(line[place])]
    others = [cell for place, cell in enumerate(line) if place not in places]
    if any(_is_no_word(cell) for cell in above):
        return False
    is_one_word = len(set(above)) < 2
    has_others = any(not _is_blank(cell) for cell in others)
    # Of two columns both may lack a figure, and say so.
    return not is_one_word or (len(above) > 2 and not has_others)


def _stand_below(line: Sequence[str], rows: pa.Table) -> bool:
    """Whether a word of a line stands in its column again, as units and questions do not."""
    for cell, cells in zip(line, rows.columns, strict=True):
        if not _is_blank(cell) and pc.any(pc.equal(pc.utf8_trim_whitespace(cells), cell)).as_py():
            return True
    return False


def _names_index(
    line: Sequence[str], header: Sequence[str], above: Sequence[Sequence[str]], *, has_figures: bool
) -> bool:
    """Whether a line fills its first cell only, with a word that can be no cell of the first column:
    this one has no name yet, or holds figures."""
    if _is_no_word(line[0]) or not _fills_first_only(line):
        return False
    return has_figures or not (header[0] or any(named[0] for named in above))


def with_further(
    header: Sequence[str], lines: Sequence[Sequence[str]]
) -> tuple[list[str], list[str]]:
    """The names of the columns by a header of several lines, and notes.

    Below a line that names each column once the others describe it, and are left out. Else it names
    groups, as over joined cells: a name that stands below several has its group in front.
    """
    names, notes, described = list(header), [], []
    for line in lines:
        is_index = _fills_first_only(line)
        if not _is_blank(line[0]) and (is_index or not names[0]):
            # Next to units it says so, or what the rows are called by.
            names[0] = line[0]
            line = ["", *line[1:]]
        if is_index:
            continue
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
    own = []
    for cell, group in zip(line, groups, strict=True):
        own.append(group if _is_blank(cell) else cell)
    names, group = [], ""
    for place, name in enumerate(own):
        # Of joined cells only the first is filled.
        group = groups[place] or group
        # A group of one column is its name, and what stands below may be its unit.
        is_column = groups.count(group) == 1 and all(groups[place : place + 2])
        stands_alone = own.count(name) == 1 and not is_column
        if not name or name == group or stands_alone:
            names.append(name)
        else:
            names.append(f"{group} {name}".strip())
    return names


def _fills_first_only(line: Sequence[str]) -> bool:
    return not _is_blank(line[0]) and all(_is_blank(cell) for cell in line[1:])


def _are_figures(cells: pa.ChunkedArray) -> bool:
    """Whether a column holds nothing but figures and blanks, with one figure at least."""
    there = [cell.strip() for cell in cells.to_pylist() if not _is_blank(cell.strip())]
    return bool(there) and all(_is_figure(cell) for cell in there)


def _is_figure(cell: str) -> bool:
    """Whether it is a number or a date: addresses begin with a number too."""
    if numeral(cell) is not None or is_written_out(cell):
        return True
    digits = sum(letter.isdigit() for letter in cell)
    return cell[:1].isdigit() and digits >= sum(letter.isalpha() for letter in cell)


def _is_no_word(cell: str) -> bool:
    """Whether it begins as a number or a date does, or stands in place of one."""
    return (
        cell[:1].isdigit()
        or numeral(cell) is not None
        or _is_error(cell)
        or cell.lower().lstrip("+-") in ("inf", "infinity")
    )


def _is_blank(cell: str) -> bool:
    return cell in MISSING or cell.lower() in PLACEHOLDERS


def _is_error(cell: str) -> bool:
    """Whether it is what a spreadsheet writes in place of a number: `#DIV/0!`."""
    return cell.startswith("#") and cell.endswith(("!", "?"))
