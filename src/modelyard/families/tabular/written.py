"""How numbers in a column of text are written: with a unit, with separators between thousands."""

from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from modelyard.families.tabular.schema import ENGLISH, STYLES
from modelyard.kit.tables import is_text

_GROUPED = {
    style: re.compile(
        rf"[-+]?[1-9]\d{{0,2}}({re.escape(style[1])}\d{{3}})+({re.escape(style[5])}\d+)?"
    )
    for style in STYLES
}
_SMALL = {style: re.compile(rf"[-+]?\d{{1,3}}({re.escape(style[5])}\d+)?") for style in STYLES}
_KINDS = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "’": "'"})
"""Spaces that do not break and curly apostrophes, as the plain ones."""
_BEFORE = re.compile(
    r"(?P<sign>[-+]?)\s*(?P<unit>[$€£¥₹]|(?:EUR|USD|GBP|CHF|JPY|CNY|INR|CAD|AUD|BRL|SEK|NOK|DKK|PLN)(?=[\s\d]))\s*"
    r"(?P<number>[-+]?\d[\d.,'’\s]*)"
)
_AFTER = re.compile(
    r"(?P<sign>)(?P<number>[-+]?\d[\d.,'’\s]*?)\s*(?P<unit>(?:[^\W\d_]|[%‰$€£¥₹°/]){1,10})"
)
MOSTLY = 0.9
SHORTEST_CODE = 7
"""Characters of `560 001`: shorter numbers with a space are amounts, such as `3 200`."""


def unit_of(cells: pa.Array) -> str:
    """What most cells of text hold before or after a number, the same in each: `$`, `EUR`, `%`,
    `kg`; else ""."""
    texts = _different(cells)
    units = [unit for unit, _ in map(_split, texts) if unit]
    if len({_singular(unit) for unit in units}) != 1 or len(units) < MOSTLY * len(texts):
        return ""
    return max(units, key=len)


def without_unit(cells: pa.Array, unit: str) -> pa.Array:
    """The cells with that unit as numbers alone; all others as they are."""

    def bare(text: str) -> str:
        found, number = _split(text)
        return number if _singular(found) == _singular(unit) else text

    return _rewritten(cells, bare) if unit else cells


def _singular(unit: str) -> str:
    """`room` for `rooms`; short units have no plural."""
    return unit.removesuffix("s") if len(unit) > 2 else unit


def _split(text: str) -> tuple[str, str]:
    """The unit of a cell, and its number as it is written; no unit where it is not such a cell."""
    found = _BEFORE.fullmatch(text.strip()) or _AFTER.fullmatch(text.strip())
    return (found["unit"], found["sign"] + found["number"]) if found else ("", text)


def number_style(cells: pa.Array, delimiter: str) -> str:
    """One of STYLES where the cells of text show separators between thousands; else "".

    `1,234` and nothing that tells more is 1234 in a file separated by commas, where decimal commas
    are rare; where `delimiter` is another one it stays a decimal comma. `1.234` alone is a plain
    number everywhere. `560 001` and nothing but others of its length are codes.
    """
    texts = [_tidy(text) for text in _different(cells)]
    for style, grouped in _GROUPED.items():
        found = [text for text in texts if grouped.fullmatch(text)]
        small = [text for text in texts if _SMALL[style].fullmatch(text)]
        if not found or len(found) + len(small) < MOSTLY * len(texts):
            continue
        separator, decimal = style[1], style[5]
        certain = any(decimal in text for text in (*found, *small))
        if separator in ",.":
            certain = certain or any(text.count(separator) > 1 for text in found)
        else:
            lengths = {len(text) for text in texts}
            certain = certain or len(lengths) > 1 or max(lengths) < SHORTEST_CODE
        if certain or (style == ENGLISH and delimiter == ","):
            return style
    return ""


def plainly(cells: pa.Array, style: str) -> pa.Array:
    """The cells with numbers of that style written plainly; all others as they are."""
    return _rewritten(cells, lambda text: _plain(text, style)) if style else cells


def _plain(text: str, style: str) -> str:
    tidy = _tidy(text)
    if not (_GROUPED[style].fullmatch(tidy) or _SMALL[style].fullmatch(tidy)):
        return text
    return tidy.replace(style[1], "").replace(style[5], ".")


def _tidy(text: str) -> str:
    return text.strip().translate(_KINDS)


def _different(cells: pa.Array) -> list[str]:
    """Each text once; none of a column that holds no text."""
    found: list[str] = pc.unique(cells.drop_null()).to_pylist() if is_text(cells) else []
    return found


def _rewritten(cells: pa.Array, change: Callable[[str], str]) -> pa.Array:
    """A column of text with each different cell changed once; another column as it is."""
    if not is_text(cells):
        return cells
    encoded = cells.dictionary_encode()
    changed = [change(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(changed, pa.string()).take(encoded.indices)
