"""What the columns of a table are, judged by their cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.families.tabular.config import TabularFeatures
from modelyard.families.tabular.measures import logged
from modelyard.families.tabular.schema import Column
from modelyard.families.tabular.values import TIME_FORMATS, to_times
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
)

MOSTLY = 0.9
"""From this share of numeric (or date) cells on, the others are errors to fix, not another kind
of cell."""
LEAST_NUMBERS = 0.5
"""From this share of numeric cells on, the others may be words in place of a number."""
SOME_TEXTS = 20
"""A column with no more different values than this is never free text."""
SAMPLE = 1000
"""Cells by which text is judged."""

_ID_NAME = re.compile(
    r"(^|[_\-. ])(id|uuid|guid|key|index|rownum|row)$|[a-z](Id|ID)$", re.IGNORECASE
)
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{4}")
_WORD = re.compile(r"[^\W\d_]")
"""How a word begins: not with a digit or a sign, as numbers with a slip of the pen do."""
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


class Kind(NamedTuple):
    """The cells of a column that are not empty."""

    cells: pa.Array
    plain: pa.Array
    """With numbers written plainly."""
    code: str
    """Why digits are codes."""
    words: list[str]
    """What stands in place of numbers."""


def infer_column(
    table: Table, name: str, settings: TabularFeatures, given: Mapping[str, Any]
) -> Column:
    """The column's role, whether it may be empty, and how its cells are written. What was taken for
    granted is noted. `given` are a person's edits.

    A role of `drop` carries its reason as the description.
    """
    cells, written = table.column(name), notation(table, name)
    there, plain = cells.drop_null(), plainly(cells, written).cells.drop_null()
    nullable = len(there) < table.rows
    forced = given.get("role")
    code = "" if forced else _code(there, plain)
    words = [] if code else _words(there, plain)
    kind = Kind(there, plain, code, words)
    guess = Guess(forced) if forced else _guess(name, kind, nullable, settings)
    column: dict[str, Any] = {
        "name": name,
        "role": guess.role,
        "nullable": nullable,
        "description": guess.reason,
    }
    if code and guess.role in ("category", "text", "drop"):
        table.note(f"{name}: taken for codes, not numbers: {code}")
    if guess.role == "numeric" and _is_boolean(there):
        column |= {"boolean": True, "transform": "identity"}
    elif guess.role == "numeric":
        column |= {
            "unit": written.unit,
            "format": written.format,
            "words": words,
            "transform": settings.numeric,
        }
        if settings.numeric == "standardize" and not _fits(plain):
            column["transform"] = "log" if _fits(plain, log=True) else "standardize"
            table.note(f"{name}: {_CLOSE[column['transform']]}")
        if not given.get("format") and (question := doubt(table, name)):
            table.note(f'{question}; set its "format" in the schema if they are')
    elif guess.role == "time":
        column["format"] = to_times(there, TIME_FORMATS)[1]
    return Column.model_validate(column)


def is_numeric(cells: pa.Array) -> bool:
    """Whether a column, written plainly, holds numbers: mostly, so that the few other cells are
    errors."""
    there = cells.drop_null()
    return _numeric_share(there) >= MOSTLY and not _is_boolean(there)


def _guess(name: str, kind: Kind, nullable: bool, settings: TabularFeatures) -> Guess:
    there, plain, code, words = kind
    distinct = len(pc.unique(there))
    if distinct == 0:
        return Guess("drop", "all cells are empty")
    if distinct == 1 and not nullable:
        return Guess("drop", "constant")
    if _is_boolean(there):
        return Guess("numeric")
    if is_dates(there):
        return Guess("time")
    if (words or _numeric_share(plain) >= MOSTLY) and not code:
        reason = _row_number(name, plain, distinct)
        return Guess("drop", reason) if reason else Guess("numeric")
    texts = [str(text) for text in as_texts(there)]
    if _looks_dated(texts[:50]) and to_times(there, TIME_FORMATS)[0].notna().mean() >= MOSTLY:
        return Guess("time")
    if distinct > SOME_TEXTS and _looks_dated(texts):
        return Guess("drop", "dates in several formats: write them in one")
    return _guess_text(texts, distinct, settings, bool(code))


def _guess_text(
    texts: Sequence[str], distinct: int, settings: TabularFeatures, code: bool
) -> Guess:
    some = texts[:SAMPLE]
    words = sum(len(re.findall(r"\s+", text)) + 1 for text in some) / len(some)
    varied = distinct > max(SOME_TEXTS, 0.5 * len(texts))
    with_unit = sum(bool(_WITH_UNIT.fullmatch(text)) for text in some) >= MOSTLY * len(some)
    if varied and with_unit and not code:
        problem = "numbers with several units, or written in several ways: write plain numbers"
        return Guess("drop", problem)
    if words >= 2 and distinct > max(settings.max_categories, SOME_TEXTS):
        return Guess("text")
    if words >= 3 and varied:
        return Guess("text")
    if distinct > 0.9 * len(texts) and distinct > SOME_TEXTS:
        return Guess("drop", "nearly every value is different (id-like)")
    return Guess("category")


def _code(there: pa.Array, plain: pa.Array) -> str:
    """Why a column of digits is one of codes; empty where it is not."""
    if _numeric_share(plain) < LEAST_NUMBERS:
        return ""
    if cell := leading_zero(there):
        return f"{cell!r} has a leading zero"
    if (row := inexact(plain)) is not None:
        return f"{plain[row].as_py()} has more digits than a number holds"
    values = as_numbers(plain)
    whole = bool((values[np.isfinite(values)] % 1 == 0).all())
    if whole and not _fits(plain) and not _fits(plain, log=True):
        return "32-bit numbers would not tell them apart"
    return ""


def _words(there: pa.Array, plain: pa.Array) -> list[str]:
    """Words that stand in place of numbers, the most frequent first.

    Among nine numbers in ten, a word that is not repeated is an error to fix. Among fewer numbers
    all other cells must be words, of few kinds, next to too many numbers for a category each.
    """
    if not is_text(there):
        return []
    numeric = ~np.isnan(as_numbers(plain))
    others = there.filter(pa.array(~numeric & ~are_placeholders(there)))
    counts = Counter(others.to_pylist())
    words = [word for word, _ in counts.most_common() if _WORD.match(word)]
    share = _numeric_share(plain)
    if share >= MOSTLY:
        return [word for word in words if counts[word] > 1][:SOME_TEXTS]
    few = len(words) == len(counts) <= SOME_TEXTS
    different = len(pc.unique(plain.filter(pa.array(numeric))))
    return words if share >= LEAST_NUMBERS and few and different > SOME_TEXTS else []


def _fits(plain: pa.Array, log: bool = False) -> bool:
    """Whether 32-bit numbers tell values apart once they are standardized, as models take them."""
    values = as_numbers(plain)
    values = values[np.isfinite(values)]
    if not len(values):
        return True
    given = logged(values) if log else values
    return tells_apart(values, (given - given.mean()) / (given.std() or 1.0))


def _row_number(name: str, there: pa.Array, distinct: int) -> str:
    """Why a numeric column is no more than a row's number or key; empty when it is a quantity."""
    values = as_numbers(there)
    if distinct < len(there) or len(there) <= SOME_TEXTS or (values % 1 != 0).any():
        return ""
    if values[0] in (0, 1) and (np.diff(values) == 1).all():
        return "counts the rows (id-like)"
    if _ID_NAME.search(name):
        return "every value is different, and it is named as a key (id-like)"
    return ""


def _is_boolean(there: pa.Array) -> bool:
    if not is_text(there):
        return bool(pa.types.is_boolean(there.type))
    some = pc.unique(there)[:5].to_pylist()
    return bool(some) and {text.lower() for text in some} <= {"true", "false"}


def _numeric_share(there: pa.Array) -> float:
    """Share of numbers among the cells; placeholders for an empty cell don't count."""
    if not is_text(there):
        return 1.0 if pa.types.is_integer(there.type) or pa.types.is_floating(there.type) else 0.0
    count = int((~np.isnan(as_numbers(there))).sum())
    empty = int(are_placeholders(there).sum())
    if not count or count < empty:
        return 0.0
    return count / (len(there) - empty)


def _looks_dated(texts: Sequence[str]) -> bool:
    return sum(bool(_DATE.match(text)) for text in texts) >= MOSTLY * len(texts)
