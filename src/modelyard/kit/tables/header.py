"""Whether the first row of a text names its columns, and names where it does not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from modelyard.errors import BadData
from modelyard.kit.tables.notation import PLACEHOLDERS
from modelyard.kit.tables.table import NO_HEADER
from modelyard.kit.tables.text import Text

_LOOKED_AT, _SENTENCE = 10_000, 6
"""Rows in which the cells of the first row are looked for; words that make one a sentence."""
_FEW = 3
"""Fewer numbers in a row may stand in any order by chance."""
_MANY = 10
"""More numbers in a row stand in order by design."""
_SHOW = 100
"""Cells that show what a column holds."""
_YEAR = re.compile(r"(?:1[5-9]|2[01])\d\d")
_SMALL = re.compile(r"[0-9]{1,9}")
_DATE = re.compile(r"(?:\d{4}[-/]\d{2}|\d{1,4}(?P<mark>[-/.])\d{1,2}(?P=mark)\d{1,4})(?:[ T]\d.*)?")
_DIGIT = re.compile(r"\d")


def with_names(text: Text) -> Text:
    """A text whose first row is data, below a row of names: c1, c2, …"""
    names = numbered(len(text.first_row()))
    note = f"{text.file.name} {NO_HEADER}: its columns are called {_from_to(names)}"
    header = text.delimiter.join(names)
    return replace(text, content=f"{header}\n{text.content}", notes=[*text.notes, note])


def distinct_names(header: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Names of columns of which each stands once, and those that are new: of several columns with one
    name the second is called as pandas calls it, `name.1`."""
    names: list[str] = []
    renamed: dict[str, str] = {}
    given = set(header)
    counts: Counter[str] = Counter()
    for name in header:
        own = name
        if name and counts[name]:
            own = f"{name}.{counts[name]}"
            # The file may have a column `name.1` too.
            while own in given or own in renamed:
                counts[name] += 1
                own = f"{name}.{counts[name]}"
            renamed[own] = name
        counts[name] += 1
        names.append(own)
    return names, renamed


def numbered(count: int) -> list[str]:
    """What so many columns are called that a file does not name: c1, c2, …"""
    return [f"c{place}" for place in range(1, count + 1)]


def _from_to(names: Sequence[str]) -> str:
    if len(names) <= 3:
        return ", ".join(names)
    return f"{names[0]} to {names[-1]}"


def holds_numbers(header: Sequence[str]) -> bool:
    """Whether all names are numbers, which no one calls columns; but for names that count on, for years,
    and for many in order, as the wavelengths of spectra are."""
    numbers = _numbers(header)
    if len(numbers) < len(header) or _are_counted(header):
        return False
    are_years = all(_YEAR.fullmatch(name) for name in header)
    may_be_names = are_years or len(numbers) > _MANY
    return not may_be_names or not _are_in_order(numbers)


def is_data(header: Sequence[str], rows: pa.Table, text: Text, numbers: list[int] | None) -> bool:
    """Whether a first row is one of the others: most of its cells stand in their own columns again, or
    are sentences; or a date stands above dates; or most are numbers as they do not name columns. Names
    that stand below once more are refused.

    A single such cell proves nothing (a list of words may hold the word "word"), and neither do
    sentences alone, as the questions of a survey, nor columns whose names count on by one,
    nor a column of a choice, which holds its own name or nothing.

    Args:
        rows: below the first one, texts.
        numbers: of the rows in the file; None: they count from 1.

    Raises:
        BadData: the names stand below once more, as where files were joined.
    """
    if _are_counted(header):
        return False
    sentences, elsewhere = 0, 0
    again, equals = [], []
    whole = pa.scalar(True)
    for name, cells in zip(header, rows.columns, strict=True):
        below = pc.utf8_trim_whitespace(cells.slice(0, _LOOKED_AT))
        if _is_a_date_above_dates(name, below):
            return True
        equal = pc.equal(below, name)
        equals.append(equal)
        whole = pc.and_(whole, equal)
        own_or_nothing = pc.or_(equal, pc.equal(below, ""))
        # A constant column is no choice: a first row of data stands in it again.
        is_choice = pc.all(own_or_nothing).as_py() and not pc.all(equal).as_py()
        stands_below = pc.any(equal).as_py()
        if name and stands_below and not is_choice:
            again.append(name)
        elif _is_sentence(name):
            sentences += 1
    if _are_values(header, again, rows):
        return True
    words = [name for name in header if _is_word(name)]
    if words and set(words).isdisjoint(again) and _count_on(header, least=2):
        # Columns 0 and 1 next to one with a name of its own.
        return False
    looks_like_data = bool(again) and len(again) + sentences > len(header) / 2
    if len(header) == 1 or not looks_like_data:
        return False
    place = pc.index(whole, True).as_py()
    if place < 0:
        return True
    for equal in equals:
        elsewhere += pc.sum(equal).as_py() > pc.sum(whole).as_py()
    if elsewhere > len(header) / 2:
        # A row that is there twice: most of its cells stand in other rows too, as names do not.
        return True
    row = place + 1 if numbers is None else numbers[place]
    problem = "repeats the names of the columns, as where files were joined"
    raise BadData(problem, file=text.file, row=row, hint="Delete the row")


def _are_values(header: Sequence[str], again: Sequence[str], rows: pa.Table) -> bool:
    """Whether half of the cells or more are numbers that name no columns: they stand next to words of
    which each is one of its own column (`again`), as a class is; or they are in no order, as
    years and wavelengths are, and not whole and all different, as the numbers of products are.

    Not where a word stands above numbers, as in each table with a header and a column of numbers.
    """
    numbers = _numbers(header)
    if len(numbers) < max(_FEW, len(header) / 2):
        return False
    words = [name for name in header if _is_word(name)]
    if words and set(words) <= set(again):
        return True
    for name, cells in zip(header, rows.columns, strict=True):
        if _is_word(name) and _are_numbers(cells):
            return False
    if _are_in_order(numbers):
        return False
    are_codes = all(number >= 0 and number.is_integer() for number in numbers)
    return not are_codes or len(set(numbers)) < len(numbers)


def _is_word(name: str) -> bool:
    """Whether a cell is neither a number nor empty, in the words for it either."""
    return bool(name) and not _numbers([name]) and name.lower() not in PLACEHOLDERS


def _are_numbers(cells: pa.ChunkedArray) -> bool:
    """Whether the first cells of a column are numbers, or empty; one number at least."""
    some = [cell.strip() for cell in cells.slice(0, _SHOW).to_pylist()]
    there = [cell for cell in some if cell and cell.lower() not in PLACEHOLDERS]
    return bool(there) and len(_numbers(there)) == len(there)


def _are_in_order(numbers: Sequence[float]) -> bool:
    """Whether numbers rise all along, or fall, as wave numbers and doses do."""
    steps = [after - before for before, after in pairwise(numbers)]
    return all(step > 0 for step in steps) or all(step < 0 for step in steps)


def _is_sentence(name: str) -> bool:
    """Whether it has many words, or several and a full stop: a column's name may be a question."""
    words = len(name.split())
    return words >= _SENTENCE or (words > 1 and name.endswith((".", "!")))


def _is_a_date_above_dates(name: str, below: pa.ChunkedArray) -> bool:
    """Whether a cell is a date, and each below it is written the same way."""
    if not _DATE.fullmatch(name):
        return False
    # A day or a month may have one digit or two.
    form = _DIGIT.sub("9", name).replace("99", "9")
    forms = pc.replace_substring(pc.replace_substring_regex(below, r"\d", "9"), "99", "9")
    return bool(len(below)) and bool(pc.all(pc.equal(forms, form)).as_py())


def _are_counted(header: Sequence[str]) -> bool:
    """Whether most names are whole numbers, one by one: as pandas names columns, or as years
    and the items of a questionnaire do, in whose columns such numbers stand too."""
    return _count_on(header, least=max(_FEW, len(header) / 2))


def _count_on(header: Sequence[str], *, least: float) -> bool:
    """Whether so many names or more are whole numbers, each one more than that before it."""
    found = [name for name in header if _SMALL.fullmatch(name)]
    if len(found) < least:
        return False
    first = int(found[0])
    return found == [str(number) for number in range(first, first + len(found))]


def _numbers(header: Sequence[str]) -> list[float]:
    """Those of the cells that are numbers."""
    found = []
    for name in header:
        # Python reads 1_2 as 12; on a questionnaire it is the second part of the first question.
        if "_" in name:
            continue
        try:
            found.append(float(name))
        except ValueError:
            continue
    return found
