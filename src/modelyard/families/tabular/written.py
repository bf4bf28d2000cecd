"""How the cells of a column are written: numbers with a unit, with separators between thousands,
and all as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

ENGLISH, CONTINENTAL, FRENCH = "1,234.5", "1.234,5", "1 234,5"
STYLES = (ENGLISH, CONTINENTAL, FRENCH, "1 234.5", "1'234.5")
"""Names of the styles that have separators: second character between thousands, sixth before
decimals."""

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


def unit_of(cells: pd.Series[Any]) -> str:
    """What most cells of text hold before or after a number, the same in each: `$`, `EUR`, `%`,
    `kg`; else ""."""
    texts = (
        [cell for cell in cells.dropna().unique() if isinstance(cell, str)]
        if cells.dtype == object
        else []
    )
    units = [unit for text in texts if (unit := _split(text)[0])]
    if len({_singular(unit) for unit in units}) != 1 or len(units) < MOSTLY * len(texts):
        return ""
    return max(units, key=len)


def without_unit(cells: pd.Series[Any], unit: str) -> pd.Series[Any]:
    """The cells with that unit as numbers alone; all others as they are."""
    if not unit or cells.dtype != object:
        return cells
    split = cells.map(lambda cell: _split(cell) if isinstance(cell, str) else ("", cell))
    same = split.map(lambda parts: _singular(parts[0]) == _singular(unit))
    return split.map(lambda parts: parts[1]).where(same, cells)


def _singular(unit: str) -> str:
    """`room` for `rooms`; short units have no plural."""
    return unit.removesuffix("s") if len(unit) > 2 else unit


def _split(text: str) -> tuple[str, str]:
    """The unit of a cell, and its number as it is written; no unit where it is not such a cell."""
    found = _BEFORE.fullmatch(text.strip()) or _AFTER.fullmatch(text.strip())
    return (found["unit"], found["sign"] + found["number"]) if found else ("", text)


def number_style(cells: pd.Series[Any], delimiter: str) -> str:
    """One of STYLES where the cells of text show separators between thousands; else "".

    `1,234` and nothing that tells more is 1234 in a file separated by commas, where decimal commas
    are rare; where `delimiter` is another one it stays a decimal comma. `1.234` alone is a plain
    number everywhere. `560 001` and nothing but others of its length are codes.
    """
    cells = cells.dropna() if cells.dtype == object else cells[:0]
    texts = [_tidy(cell) for cell in cells.unique() if isinstance(cell, str)]
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


def plainly(cells: pd.Series[Any], style: str) -> pd.Series[Any]:
    """The cells with numbers of that style written plainly; all others as they are."""
    if not style or cells.dtype != object:
        return cells
    return cells.map(lambda cell: _plain(cell, style) if isinstance(cell, str) else cell)


def _plain(text: str, style: str) -> str:
    tidy = _tidy(text)
    if not (_GROUPED[style].fullmatch(tidy) or _SMALL[style].fullmatch(tidy)):
        return text
    return tidy.replace(style[1], "").replace(style[5], ".")


def _tidy(text: str) -> str:
    return text.strip().translate(_KINDS)


def as_text(cells: pd.Series[Any]) -> pd.Series[Any]:
    """The cells as text or None: whole numbers without a point, booleans in lower case, times in
    ISO 8601."""
    import pandas as pd

    if cells.dtype == object:
        if pd.api.types.infer_dtype(cells, skipna=True) in ("string", "empty"):
            return cells
        return cells.map(lambda cell: cell if cell is None or isinstance(cell, str) else str(cell))
    if cells.dtype.kind == "M":
        return cells.map(lambda cell: cell.isoformat(), na_action="ignore").astype(object)
    if cells.dtype == "boolean" or cells.dtype.kind == "b":
        return cells.map(lambda cell: str(bool(cell)).lower(), na_action="ignore").astype(object)
    text = cells.map(
        lambda cell: str(int(cell)) if float(cell).is_integer() else str(cell), na_action="ignore"
    )
    return text.astype(object).where(cells.notna(), None)
