"""How the numbers of a column are written, by what the column and its file prove.

`1.234` is 1234 where decimals have a comma, and `1,234` where they have a point. A column proves
which it is by a cell that reads in one way only, such as `12,5` or `1.234,50`; where it has none,
the other columns of the file decide; where they prove nothing either, `doubt` says what was taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from modelyard.kit.numerals import CONTINENTAL, ENGLISH, STYLES, Numeral, Oddity, numeral, read
from modelyard.kit.tables.table import Table, cells_of

MOSTLY = 0.9
"""From this share of numbers on, the other cells are errors to fix, not another kind of cell."""
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "#N/A", "<NA>", "<null>", "\\N")
"""Cells of a CSV that are read as empty, beside blanks."""
PLACEHOLDERS = frozenset(
    {
        *("?", "-", "--", "\u2013", "\u2014", ".", "none", "unknown", "missing"),
        *("na", "n.a.", "nan", "nil", "#n/a"),
    }
)
"""Words for an empty cell, in any case, taken as such in a column that otherwise holds numbers."""
SHORTEST_CODE = 7
"""Characters of `560 001`: shorter numbers with a space are amounts, such as `3 200`."""

_LOOKED_AT = 50_000
"""Different cells by which a notation is recognised. A later one that contradicts them is refused."""
_PLAIN = r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"
_TWO_WAYS = r"^[-+]?[1-9]\d{0,2}\.\d{3}$"
_TAKEN: dict[Oddity, str] = {
    "bound": "the number itself",
    "brackets": "less than nothing",
    "minus": "less than nothing",
}


def _thousands(style: str) -> str:
    """What separates thousands in one of STYLES."""
    return style[1]


def _decimal(style: str) -> str:
    """What stands before decimals in one of STYLES; a point where nothing is separated."""
    return style[5:6] or "."


_POINT = [style for style in STYLES if _decimal(style) == "."]
_COMMA = [style for style in STYLES if _decimal(style) == ","]


@dataclass(frozen=True)
class Notation:
    """How a column's numbers are written."""

    format: str = ""
    """One of STYLES where thousands are separated or decimals have a comma, else empty."""
    unit: str = ""
    """What stands before or after each number: `%`, `EUR`, `kg`."""


@dataclass(frozen=True)
class Look:
    """What the cells of one column show."""

    decimal: str = ""
    """`.` or `,` where some cell proves it."""
    two_ways: str = ""
    """Where none does: a cell that is one number with a decimal point and another with a comma."""
    point: str = ""
    """The format where decimals have a point."""
    comma: str = CONTINENTAL
    """The format where decimals have a comma."""
    unit: str = ""
    proves: bool = True
    """Whether the column says something of its file: most of its cells are numbers."""


class Plain(NamedTuple):
    """A column with its numbers written plainly, and what of it can be doubted."""

    cells: pa.Array
    odd: dict[str, Oddity]
    """Different cells that were read as a bound's number, or as less than nothing."""
    bare: list[str]
    """Different cells without a unit."""


def notation(table: Table, name: str, usual: Notation | None = None) -> Notation:
    """How the numbers of a column are written. `usual` is the training data's notation, which
    decides where the file does not.

    Raises:
        BadData: a number is one thing in the notation of its file and another in `usual`.
    """
    look = look_at(table, name)
    decimal = look.decimal or file_decimal(table)
    if usual is not None and not look.decimal:
        before = _decimal(usual.format)
        # Read as in training it would be a thousand times, or a thousandth of, what is meant.
        if look.two_ways and decimal not in ("", before):
            row = table.column(name).to_pylist().index(look.two_ways)
            problem = f"{look.two_ways!r} has decimals behind {decimal!r} by the other columns"
            problem += f", behind {before!r} in the training data"
            raise table.fault(name, row, problem, "Write it without separators between thousands")
        decimal = before
    if not decimal:
        decimal = "."
        # Decimal commas are rare between commas.
        if "," in look.two_ways and table.delimiter != ",":
            decimal = ","
    own = look.point
    if decimal == ",":
        own = look.comma
    if usual is None:
        return Notation(own, look.unit)
    if usual.format and not look.decimal:
        own = usual.format
    return Notation(own, usual.unit)


def doubt(table: Table, name: str) -> str:
    """What was taken for granted where a number such as `1.809` has two values and nothing in the
    file decides; empty elsewhere."""
    look = look_at(table, name)
    if not look.two_ways or file_decimal(table):
        return ""
    taken = notation(table, name).format
    if _decimal(taken) == ",":
        other = look.point or ENGLISH
    else:
        other = look.comma
    found = numeral(look.two_ways)
    assert found is not None
    value, doubted = read(found.digits, taken), read(found.digits, other)
    return (
        f"{name}: numbers such as {look.two_ways!r} were read as {value}, and nothing in the "
        f"file proves that they are not {doubted}"
    )


def file_decimal(table: Table) -> str:
    """`.` or `,`: what the columns of a file prove to stand before decimals; empty where they prove
    nothing, or one this and another that."""
    if table.decimal is None:
        share_decimal([table])
    assert table.decimal is not None
    return table.decimal


def share_decimal(tables: Sequence[Table]) -> None:
    """Lets the columns of all files decide for each one."""
    proven = set()
    for table in tables:
        for name in table.names:
            look = look_at(table, name)
            # Codes such as 038.11 prove nothing.
            if look.proves and not leading_zero(table.column(name)):
                proven.add(look.decimal)
    proven.discard("")
    decimal = ""
    if len(proven) == 1:
        (decimal,) = proven
    for table in tables:
        table.decimal = decimal


def plainly(cells: pa.Array, written: Notation) -> Plain:
    """The cells with their numbers as JSON writes them, `-1234.5`. A number in another notation
    becomes an empty text; all other cells stay."""
    if not is_text(cells) or (not written.format and _all_match(cells, _PLAIN)):
        return Plain(cells, {}, [])
    odd: dict[str, Oddity] = {}
    bare: list[str] = []

    def plain(text: str) -> str:
        found = numeral(text)
        if found is None:
            return text
        digits = read(found.digits, written.format)
        # 5 g among kilograms is another number than 5: no cell of this column.
        is_other_unit = bool(found.unit) and _singular(found.unit) != _singular(written.unit)
        if digits is None or is_other_unit:
            return ""
        if found.odd is not None:
            odd[text] = found.odd
        if not found.unit:
            bare.append(text)
        if found.negative:
            return f"-{digits}"
        return digits

    rewritten = _rewritten(cells, plain)
    bounds = [text for text, kind in odd.items() if kind == "bound"]
    if _count(cells, bounds) > (len(cells) - cells.null_count) / 2:
        # `<50` and `>50` throughout are categories.
        return Plain(cells, {}, [])
    if any(text.endswith("+") for text in odd) and any(text.endswith("-") for text in odd):
        # Grades: `2+` is next to `2-`, which is not less than nothing.
        return Plain(cells, {}, [])
    return Plain(rewritten, odd, bare)


def say(table: Table, name: str, written: Notation, plain: Plain) -> None:
    """Notes how the numbers of a column were read."""
    cells = table.column(name)
    if not is_text(cells):
        return
    if written.format:
        table.note(f"{name}: numbers were read as written {written.format}")
    if code := leading_zero(cells):
        table.note(f"{name}: cells with a leading zero, such as {code!r}, were read as numbers")
    for kind, taken in _TAKEN.items():
        texts = [text for text, own in plain.odd.items() if own == kind]
        if texts:
            count = _count(cells, texts)
            table.note(f"{name}: {cells_of(count)} such as {texts[0]!r} read as {taken}")
    if written.unit:
        said = f"{name}: numbers were read without their unit {written.unit!r}"
        count = _count(cells, plain.bare)
        if count:
            said += f"; {cells_of(count)} without one taken for the same"
        table.note(said)


def look_at(table: Table, name: str) -> Look:
    """What the cells of a column show; looked at once."""
    if name not in table.looks:
        table.looks[name] = _look(table.column(name))
    found: Look = table.looks[name]
    return found


def leading_zero(cells: pa.Array) -> str:
    """A cell such as `007` or `038.11`, which is a code and no number; empty where there is none."""
    if not is_text(cells):
        return ""
    found = cells.filter(pc.match_substring_regex(cells, r"^[-+]?0\d+([.,]\d*)?$"))
    if len(found):
        return str(found[0].as_py())
    return ""


def is_text(cells: pa.Array) -> bool:
    """Whether a column holds text, as every column of a CSV does."""
    return bool(pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type))


def _look(cells: pa.Array) -> Look:
    if not is_text(cells):
        return Look()
    different = pc.unique(cells.drop_null())
    if _all_match(different, _PLAIN):
        # Nearly every column: its cells need no look one by one.
        pointed = different.filter(pc.match_substring(different, "."))
        if not len(pointed):
            return Look()
        if not _all_match(pointed, _TWO_WAYS):
            return Look(decimal=".")
    texts = different[:_LOOKED_AT].to_pylist()
    texts = [text for text in texts if text.lower() not in PLACEHOLDERS]
    unit, digits = _digits(texts)
    if not digits or _are_codes(list(digits.values())):
        return Look(unit=unit)
    # How many cells each style reads: the best with a decimal point against the best with a comma.
    reads = {}
    for style in STYLES:
        reads[style] = sum(read(written, style) is not None for written in digits.values())
    point = max(_POINT, key=lambda style: reads[style])
    comma = max(_COMMA, key=lambda style: reads[style])
    best = max(point, comma, key=lambda style: reads[style])
    decimal = two_ways = ""
    # Below that share the best style is chance: a typing error or two would decide.
    if reads[point] != reads[comma] and reads[best] >= MOSTLY * len(digits):
        decimal = _decimal(best)
    else:
        two_ways = _first_of_two_values(digits, point, comma)
    format_point = ""
    if any(_thousands(point) in written for written in digits.values()):
        format_point = point
    return Look(
        decimal=decimal,
        two_ways=two_ways,
        point=format_point,
        comma=comma,
        unit=unit,
        proves=len(digits) >= MOSTLY * len(texts),
    )


def _digits(texts: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The unit of most numbers, and the digits of each text that is a number."""
    numerals: dict[str, Numeral] = {}
    for text in texts:
        found = numeral(text)
        if found is not None:
            numerals[text] = found
    unit = _unit([found.unit for found in numerals.values()])
    digits: dict[str, str] = {}
    for text, found in numerals.items():
        # Of several units, those cells are no numbers of one column.
        if unit or not found.unit:
            digits[text] = found.digits
    return unit, digits


def _first_of_two_values(digits: Mapping[str, str], point: str, comma: str) -> str:
    """The first text whose digits are one number in one style and another in the other."""
    for text, written in digits.items():
        one, other = read(written, point), read(written, comma)
        if one is not None and other is not None and float(one) != float(other):
            return text
    return ""


def _unit(units: list[str]) -> str:
    """The unit that most numbers have, the same in each; else ""."""
    there = [unit for unit in units if unit]
    different = {_singular(unit) for unit in there}
    if len(different) != 1 or len(there) < MOSTLY * len(units):
        return ""
    # The plural, where both stand in the column.
    return max(there, key=len)


def _singular(unit: str) -> str:
    """`room` for `rooms`; short units have no plural."""
    if len(unit) > 2:
        return unit.removesuffix("s")
    return unit


def _are_codes(digits: list[str]) -> bool:
    """Whether numbers with spaces are codes such as `560 001`: all of one length, and longer than
    amounts such as `3 200`."""
    spaced = any(" " in number for number in digits)
    marked = any("." in number or "," in number for number in digits)
    if marked or not spaced:
        return False
    lengths = {len(number) for number in digits}
    return len(lengths) == 1 and max(lengths) >= SHORTEST_CODE


def _count(cells: pa.Array, texts: list[str]) -> int:
    """How many cells are one of these texts."""
    found = pc.sum(pc.is_in(cells, pa.array(texts, cells.type))).as_py()
    return int(found or 0)


def _rewritten(cells: pa.Array, change: Callable[[str], str]) -> pa.Array:
    """Text with each different cell changed once."""
    encoded = cells.dictionary_encode()
    changed = [change(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(changed, pa.string()).take(encoded.indices)


def _all_match(cells: pa.Array, pattern: str) -> bool:
    # Null of no cells at all: they match.
    return pc.all(pc.match_substring_regex(cells, pattern)).as_py() is not False
