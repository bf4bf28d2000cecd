"""How the cells of a column are written: numbers with separators between thousands or plainly, and all as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

ENGLISH, CONTINENTAL = "1,234.5", "1.234,5"
"""Names of the styles that have separators: second character between thousands, sixth before decimals."""

_GROUPED = {
    ENGLISH: re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?"),
    CONTINENTAL: re.compile(r"[-+]?[1-9]\d{0,2}(\.\d{3})+(,\d+)?"),
}
_SMALL = {ENGLISH: re.compile(r"[-+]?\d{1,3}(\.\d+)?"), CONTINENTAL: re.compile(r"[-+]?\d{1,3}(,\d+)?")}
MOSTLY = 0.9


def number_style(cells: pd.Series[Any], delimiter: str) -> str:
    """ENGLISH or CONTINENTAL where the cells of text show separators between thousands; else "".

    `1,234` and nothing that tells more is 1234 in a file separated by commas, where decimal commas are rare; where
    `delimiter` is another one it stays a decimal comma. `1.234` alone is a plain number everywhere.
    """
    texts = [cell.strip() for cell in cells.dropna().unique() if isinstance(cell, str)] if cells.dtype == object else []
    for style, grouped in _GROUPED.items():
        found = [text for text in texts if grouped.fullmatch(text)]
        small = [text for text in texts if _SMALL[style].fullmatch(text)]
        if not found or len(found) + len(small) < MOSTLY * len(texts):
            continue
        separator, decimal = style[1], style[5]
        certain = any(decimal in text or text.count(separator) > 1 for text in found)
        certain = certain or any(decimal in text for text in small)
        if certain or (style == ENGLISH and delimiter == ","):
            return style
    return ""


def plainly(cells: pd.Series[Any], style: str) -> pd.Series[Any]:
    """The cells with numbers of that style written plainly; all others as they are."""
    if not style or cells.dtype != object:
        return cells
    return cells.map(lambda cell: _plain(cell, style) if isinstance(cell, str) else cell)


def _plain(text: str, style: str) -> str:
    if not (_GROUPED[style].fullmatch(text.strip()) or _SMALL[style].fullmatch(text.strip())):
        return text
    return text.replace(style[1], "").replace(style[5], ".")


def as_text(cells: pd.Series[Any]) -> pd.Series[Any]:
    """The cells as text or None: whole numbers without a point, booleans in lower case, times in ISO 8601."""
    import pandas as pd

    if cells.dtype == object:
        if pd.api.types.infer_dtype(cells, skipna=True) in ("string", "empty"):
            return cells
        return cells.map(lambda cell: cell if cell is None or isinstance(cell, str) else str(cell))
    if cells.dtype.kind == "M":
        return cells.map(lambda cell: cell.isoformat(), na_action="ignore").astype(object)
    if cells.dtype == "boolean" or cells.dtype.kind == "b":
        return cells.map(lambda cell: str(bool(cell)).lower(), na_action="ignore").astype(object)
    text = cells.map(lambda cell: str(int(cell)) if float(cell).is_integer() else str(cell), na_action="ignore")
    return text.astype(object).where(cells.notna(), None)
