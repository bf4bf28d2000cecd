"""What the columns of a table are, judged by their cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.kit.columns.measures import logged
from modelyard.kit.columns.schema import Column, ColumnSettings
from modelyard.kit.columns.values import SHORT_FORMATS, TIME_FORMATS, to_times
from modelyard.kit.moments import is_written_out
from modelyard.kit.precision import tells_apart
from modelyard.kit.tables import (
    Table,
    are_placeholders,
    as_numbers,
    as_texts,
    doubt,
    inexact,
    is_dates,
    is_text,
    leading_zero,
    notation,
    plainly,
    short_years,
)

MOSTLY = 0.9
"""From this share of numeric (or date) cells on, the others are errors to fix, not another kind
of cell."""
LEAST_NUMBERS = 0.5
"""From this share of numeric cells on, the others may be words in place of a number."""
SOME_TEXTS = 20
"""A column with no more different values than this is never free text."""
LOOKED_AT = 50
"""Cells that show whether a column may hold dates."""
SAMPLE = 1000
"""Cells by which text is judged."""
_WAYS_TO_WRITE_BOOLEANS = 6
"""`true`, `True`, `TRUE`, and the same of false."""

_ID_NAME = re.compile(
    r"(^|[_\-. ])(id|uuid|guid|key|index|rownum|row)$|[a-z](Id|ID)$"
    # `Kundennr`, `order no.`; not a bare `number`, which may be an amount.
    r"|[_\-. ](nr|no|number)\.?$|[^\W\d_](nr|nummer)\.?$",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{4}"
    # A month by itself, 2026-03; 4700-01 is a code.
    r"|(?:1[5-9]|2[01])\d\d-(?:0[1-9]|1[0-2])(?![\d-])"
)
_SEASON = re.compile(r"(?P<year>\d{4})-(?P<next>\d\d)")
_WORD = re.compile(r"[^\W\d_]")
"""How a word begins: not with a digit or a sign, as numbers with a slip of the pen do."""
_SAID = ("none", "unknown", "missing")
"""Placeholders for an empty cell that may be what a column says; `-` and `?` never are."""
_PREFIXED = re.compile(r"[A-Za-z]{1,2}-?\d{2,}")
_SUFFIXED = re.compile(r"(?P<digits>\d{4,})(?P<letters>[A-Za-z]{1,2})")
_LEAST_MARKED = 3
"""Different codes with letters among numbers; fewer may be slips of the pen."""
_WITH_UNIT = re.compile(r"[$€£]?\s*[-+]?\d[\d.,' ]*\s*(%|[$€£]|[a-zA-Zµ°]{1,3})?")
_CLOSE = {
    "log": "its logarithm is taken, for 32-bit numbers would not tell most of its values apart",
    "standardize": "32-bit numbers do not tell most of its values apart",
}


class Guess(NamedTuple):
    """What a column is taken for."""

    role: str
    reason: str = ""
    """Why it is dropped."""


class Cells:
    """The cells of a column that are not empty, and what they show; each figure is computed once."""

    def __init__(self, cells: pa.Array, plain: pa.Array) -> None:
        """`plain` are the same cells with numbers written plainly."""
        self.there, self.plain = cells, plain

    @cached_property
    def values(self) -> np.ndarray:
        """The numbers, float64, NaN where a cell is none."""
        return as_numbers(self.plain)

    @cached_property
    def numeric_share(self) -> float:
        """Share of numbers among the cells; placeholders for an empty cell don't count."""
        if not is_text(self.plain):
            kind = self.plain.type
            return float(pa.types.is_integer(kind) or pa.types.is_floating(kind))
        count = int((~np.isnan(self.values)).sum())
        if count == 0:
            return 0.0
        if count == len(self.plain):
            return 1.0
        empty = int(are_placeholders(self.plain).sum())
        words = pc.is_in(pc.utf8_lower(self.plain), pa.array(_SAID, self.plain.type))
        if count < pc.sum(words).as_py():
            # Then `none` or `unknown` is what the column says, and a number the exception.
            return 0.0
        return count / (len(self.plain) - empty)

    @cached_property
    def distinct(self) -> int:
        """How many different ones there are."""
        return len(pc.unique(self.there))

    @cached_property
    def boolean(self) -> bool:
        """Whether all are true or false."""
        if not is_text(self.there):
            return bool(pa.types.is_boolean(self.there.type))
        if self.distinct > _WAYS_TO_WRITE_BOOLEANS:
            return False
        words = pc.unique(self.there).to_pylist()
        return bool(words) and {word.lower() for word in words} <= {"true", "false"}

    def fit_32_bits(self, log: bool = False) -> bool:
        """Whether 32-bit numbers tell values apart once they are standardized, as models take
        them."""
        values = self.values[np.isfinite(self.values)]
        if not len(values):
            return True
        given = values
        if log:
            given = logged(values)
        deviation = given.std() or 1.0
        return tells_apart(values, (given - given.mean()) / deviation)

    @cached_property
    def code(self) -> str:
        """Why a column of digits is one of codes; empty where it is not."""
        if self.numeric_share < LEAST_NUMBERS:
            return ""
        if cell := leading_zero(self.there):
            return f"{cell!r} has a leading zero"
        if cell := self._with_letters():
            return f"{cell!r} is a number with letters"
        if (row := inexact(self.plain)) is not None:
            return f"{self.plain[row].as_py()} has more digits than a number holds"
        finite = self.values[np.isfinite(self.values)]
        whole = bool((finite % 1 == 0).all())
        if whole and not self.fit_32_bits() and not self.fit_32_bits(log=True):
            return "32-bit numbers would not tell them apart"
        return ""

    def _with_letters(self) -> str:
        """A cell such as `C539104` or `85123A`, where most cells that are no numbers are of that
        form; empty where there is none. One ending, or two letters before all of them, may be a unit."""
        if not is_text(self.there):
            return ""
        others = self.there.filter(pa.array(np.isnan(self.values) & ~are_placeholders(self.there)))
        different = pc.unique(others).to_pylist()
        prefixed = [cell for cell in different if _PREFIXED.fullmatch(cell)]
        if len({cell[:2].upper() for cell in prefixed}) == 1 and prefixed[0][1].isalpha():
            prefixed = []
        suffixed = [found for cell in different if (found := _SUFFIXED.fullmatch(cell))]
        endings = {found["letters"].upper() for found in suffixed}
        zeros = any(found["digits"].startswith("0") for found in suffixed)
        marked = prefixed
        if len(endings) > 1 or zeros:
            marked = prefixed + [found[0] for found in suffixed]
        if len(marked) >= max(_LEAST_MARKED, len(different) / 2):
            return str(marked[0])
        return ""

    @cached_property
    def words(self) -> list[str]:
        """Words that stand in place of numbers, the most frequent first.

        Among nine numbers in ten, a word that is not repeated is an error to fix. Among fewer
        numbers all other cells must be words, of few kinds, next to too many numbers for a category
        each.
        """
        share = self.numeric_share
        if not is_text(self.there) or share < LEAST_NUMBERS:
            return []
        numeric = ~np.isnan(self.values)
        if numeric.all():
            return []
        others = self.there.filter(pa.array(~numeric & ~are_placeholders(self.there)))
        counts = Counter(others.to_pylist())
        words = [word for word, _ in counts.most_common() if _WORD.match(word)]
        if share >= MOSTLY:
            return [word for word in words if counts[word] > 1][:SOME_TEXTS]
        few = len(words) == len(counts) <= SOME_TEXTS
        different = len(pc.unique(self.plain.filter(pa.array(numeric))))
        if few and different > SOME_TEXTS:
            return words
        return []


def infer_column(
    table: Table, name: str, settings: ColumnSettings, given: Mapping[str, Any]
) -> Column:
    """The column's role, whether it may be empty, and how its cells are written. What was taken for
    granted is noted. `given` are a person's edits.

    A role of `drop` carries its reason as the description.
    """
    cells, written = table.column(name), notation(table, name)
    found = Cells(cells.drop_null(), plainly(cells, written).cells.drop_null())
    nullable = len(found.there) < table.rows
    forced = given.get("role")
    if forced:
        guess = Guess(forced)
    else:
        guess = _guess(name, found, nullable, settings)
    column: dict[str, Any] = {
        "name": name,
        "role": guess.role,
        "nullable": nullable,
        "description": guess.reason,
    }
    if guess.role == "numeric" and is_text(found.plain):
        # Words for an empty cell, which numbers are read without.
        column["nullable"] = nullable or bool(are_placeholders(found.plain).any())
    code = ""
    if not forced:
        code = found.code
    if code and guess.role in ("category", "text", "drop"):
        table.note(f"{name}: taken for codes, not numbers: {code}")
    if guess.role == "numeric" and found.boolean:
        column |= {"boolean": True, "transform": "identity"}
    elif guess.role == "numeric":
        column |= {
            "unit": written.unit,
            "format": written.format,
            "words": [] if code else found.words,
            "transform": settings.numeric,
        }
        if settings.numeric == "standardize" and not found.fit_32_bits():
            if found.fit_32_bits(log=True):
                column["transform"] = "log"
            table.note(f"{name}: {_CLOSE[column['transform']]}")
        if not given.get("format") and (question := doubt(table, name)):
            table.note(f'{question}; set its "format" in the schema if they are')
    elif guess.role == "time":
        column["format"] = to_times(found.there, _formats(found.there))[1]
    return Column.model_validate(column)


def is_numeric(cells: pa.Array) -> bool:
    """Whether a column, written plainly, holds numbers: mostly, so that the few other cells are
    errors."""
    there = cells.drop_null()
    found = Cells(there, there)
    return found.numeric_share >= MOSTLY and not found.boolean


def _guess(name: str, cells: Cells, nullable: bool, settings: ColumnSettings) -> Guess:
    there, distinct = cells.there, cells.distinct
    if distinct == 0:
        return Guess("drop", "all cells are empty")
    if distinct == 1 and not nullable:
        return Guess("drop", "constant")
    if cells.boolean:
        return Guess("numeric")
    if is_dates(there):
        return Guess("time")
    if not cells.code and (cells.words or cells.numeric_share >= MOSTLY):
        reason = _row_number(name, cells)
        if reason:
            return Guess("drop", reason)
        return Guess("numeric")
    # From here on each cell is a text of its own in Python, which takes time.
    texts = [str(text) for text in as_texts(there)]
    # Reading dates is slow: only columns that look like some are read.
    if _looks_dated(texts[:LOOKED_AT]) and _are_times(there, TIME_FORMATS):
        return Guess("time")
    short = _short_years(texts)
    if short == "clear" and _are_times(there, SHORT_FORMATS):
        return Guess("time")
    if short == "unclear" and distinct > SOME_TEXTS:
        return Guess(
            "drop", "dates with two-digit years that may be read in several ways: write four"
        )
    if distinct > SOME_TEXTS and _looks_dated(texts):
        return Guess("drop", "dates in several formats: write them in one")
    return _guess_text(texts, distinct, settings, bool(cells.code))


def _are_times(there: pa.Array, formats: Sequence[str]) -> bool:
    """Whether nearly all cells are times of one of these formats."""
    found, _ = to_times(there, formats)
    return bool(found.notna().mean() >= MOSTLY)


def _guess_text(texts: Sequence[str], distinct: int, settings: ColumnSettings, code: bool) -> Guess:
    some = texts[:SAMPLE]
    # Mean words of a cell, and how many cells are a number with a unit.
    blanks = sum(len(re.findall(r"\s+", text)) for text in some)
    words = 1 + blanks / len(some)
    with_unit = sum(_WITH_UNIT.fullmatch(text) is not None for text in some)
    varied = distinct > max(SOME_TEXTS, 0.5 * len(texts))
    are_measured = with_unit >= MOSTLY * len(some) and not code
    if varied and are_measured:
        problem = "numbers with several units, or written in several ways: write plain numbers"
        return Guess("drop", problem)
    # Names of two words, such as `New York`, are categories where there are few.
    if words >= 2 and distinct > max(settings.max_categories, SOME_TEXTS):
        return Guess("text")
    if words >= 3 and varied:
        return Guess("text")
    if distinct > 0.9 * len(texts) and distinct > SOME_TEXTS:
        return Guess("drop", "nearly every value is different (id-like)")
    return Guess("category")


def _row_number(name: str, cells: Cells) -> str:
    """Why a numeric column is no more than a row's number or key; empty when it is a quantity."""
    values = cells.values
    # Of few rows all values differ by chance.
    if cells.distinct < len(values) or len(values) <= SOME_TEXTS:
        return ""
    if not np.isfinite(values).all() or (values % 1 != 0).any():
        return ""
    if values[0] in (0, 1) and (np.diff(values) == 1).all():
        return "counts the rows (id-like)"
    if _ID_NAME.search(name):
        return "every value is different, and it is named as a key (id-like)"
    return ""


def _formats(there: pa.Array) -> Sequence[str]:
    """Formats of dates that the cells may have."""
    texts = [str(text) for text in as_texts(there[:LOOKED_AT])]
    if _short_years(texts) == "none":
        return TIME_FORMATS
    return SHORT_FORMATS


def _short_years(texts: Sequence[str]) -> Literal["none", "clear", "unclear"]:
    # Most columns hold no dates, as few cells show.
    first = dict.fromkeys(texts[:LOOKED_AT])
    if short_years(list(first)) == "none":
        return "none"
    different = dict.fromkeys(texts)
    return short_years(list(different))


def _looks_dated(texts: Sequence[str]) -> bool:
    dated = sum(_DATE.match(text) is not None or is_written_out(text) for text in texts)
    return dated >= MOSTLY * len(texts) and not _are_seasons(texts)


def _are_seasons(texts: Sequence[str]) -> bool:
    """Whether all are years such as 2011-12, of sports and schools, and no months."""
    for text in texts:
        found = _SEASON.fullmatch(text)
        if found is None or int(found["next"]) != (int(found["year"]) + 1) % 100:
            return False
    return True
