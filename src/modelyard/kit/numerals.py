"""How people write one number: `1.234,50 €`, `(1,234)`, `-5`, `5-`, `<0.1`, `3+`. Standard library
only, so that it serves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from modelyard.kit.moments import is_written_out

ENGLISH, CONTINENTAL, FRENCH = "1,234.5", "1.234,5", "1 234,5"
STYLES = (ENGLISH, CONTINENTAL, FRENCH, "1 234.5", "1'234.5", "1'234,5")
"""How numbers may be written with separators: second character between thousands, sixth before
decimals."""

Oddity = Literal["bound", "brackets", "minus"]

_TIDY = str.maketrans(
    {
        **dict.fromkeys("\u00a0\u202f\u2009\u2007", " "),
        **dict.fromkeys("’ʼ", "'"),
        # The minus sign, and the dashes that word processors put in its place.
        **dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d", "-"),
    }
)
_DASHES = frozenset("\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d")
_MONEY = r"[$€£¥₹]|(?:EUR|USD|GBP|CHF|JPY|CNY|INR|CAD|AUD|BRL|SEK|NOK|DKK|PLN)(?=[-+\s0-9])"
_UNIT = r"(?:[^\W\d_]|[%‰$€£¥₹°/]){1,10}"
_NUMERAL = re.compile(
    # \s*+ gives no blank back: else a thousand of them next to a number would take seconds.
    rf"(?P<bound><=|>=|[<>≤≥])?\s*+(?P<open>\()?\s*+(?P<sign>[-+])?\s*+(?P<before>{_MONEY})?\s*+"
    r"(?P<inner>[-+])?(?P<digits>[.,]?[0-9][0-9.,']*+(?: [0-9][0-9.,']*+)*+(?:[eE][-+]?[0-9]++)?)\s*+"
    rf"(?P<after>{_UNIT})?(?P<behind>-)?\s*+(?P<close>\))?\s*+(?P<outside>{_UNIT})?\s*+(?P<more>\+)?"
)


@dataclass(frozen=True)
class Numeral:
    """A number as it is written."""

    digits: str
    """With separators as they stand: `1.234,50`; an exponent too."""
    negative: bool = False
    unit: str = ""
    odd: Oddity | None = None
    """What was taken for granted: that the number of a bound is the value, that brackets or a dash
    mean less than nothing."""


def numeral(text: str) -> Numeral | None:
    """The one number that a cell holds, with its sign and unit; None where it holds anything
    else."""
    tidy = text.strip().translate(_TIDY)
    found = _NUMERAL.fullmatch(tidy)
    if found is None:
        return None
    # 2026 Mar is a month, and Mar no unit.
    if found["after"] and is_written_out(tidy):
        return None
    brackets = found["open"] is not None
    # Each may stand in several places, and in one of them only: -5, $-5 and 5- are one number.
    signs = [sign for sign in (found["sign"], found["inner"], found["behind"]) if sign]
    units = [unit for unit in (found["before"], found["after"], found["outside"]) if unit]
    if brackets != (found["close"] is not None) or len(signs) + brackets > 1 or len(units) > 1:
        return None
    odd: Oddity | None = None
    if found["bound"] and found["more"]:
        return None
    if found["bound"] or found["more"]:
        odd = "bound"
    elif brackets:
        odd = "brackets"
    elif found["behind"] or _DASHES & set(text) or "- " in tidy:
        odd = "minus"
    return Numeral(found["digits"], brackets or "-" in signs, "".join(units), odd)


def read(digits: str, style: str) -> str | None:
    """The digits as Python and JSON write them, where one of STYLES allows them; `""` allows only
    those that are plain already."""
    if not _PATTERNS[style].fullmatch(digits):
        return None
    if style == "":
        return digits
    return digits.replace(style[1], "").replace(style[5], ".")


def _pattern(style: str) -> re.Pattern[str]:
    group, decimal = re.escape(style[1]), re.escape(style[5])
    whole = rf"[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}})+|[0-9]+"
    if style == ENGLISH:
        # 12,34,567: lakhs and crores.
        whole = rf"[1-9][0-9]?(?:,[0-9]{{2}})+,[0-9]{{3}}|{whole}"
    return re.compile(rf"(?:(?:{whole})(?:{decimal}[0-9]*)?|{decimal}[0-9]+)(?:[eE][-+]?[0-9]+)?")


_PATTERNS = {
    "": re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"),
    **{style: _pattern(style) for style in STYLES},
}
