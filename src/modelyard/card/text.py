"""Numbers and words as the card writes them."""

from __future__ import annotations

import json
import math
from typing import Any

from modelyard.card import pages

NOTHING = "–"
LONGEST = 60
"""Characters of a value that are shown; the rest is in its tooltip."""
MOST = 4_000
"""Characters of any text on a card: a page is no place for a megabyte, and drawing one takes
minutes."""


def clean(text: str) -> str:
    """Without what neither HTML nor SVG can hold, and of at most MOST characters."""
    return pages.clean(cut(text, MOST))


def number(value: float | None) -> str:
    """About four significant digits, thousands apart; whole numbers in full: `0.9934`, `12,345`,
    `3.1e-06`."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return "not finite"
    if value < 0:
        return "−" + number(-value)
    # 0.0 and 1.0 stay figures among figures, such as an accuracy.
    is_count = float(value).is_integer() and 1 < value < 1e12
    if isinstance(value, int) or is_count:
        return f"{int(value):,}"
    if value >= 1e12 or 0 < value < 1e-3:
        return f"{value:.2e}"
    if value < 10:
        return f"{value:.4f}"
    if value < 1e4:
        return f"{value:,.2f}"
    return f"{value:,.0f}"


def short(value: float) -> str:
    """Three significant digits: for a line with many numbers."""
    size = abs(value)
    digits = f"{size:,.0f}" if 1e3 <= size < 1e12 else f"{size:.3g}"
    return f"−{digits}" if value < 0 else digits


def signed(value: float | None) -> str:
    """A difference, with its sign: `+0.1200`, `−3`."""
    if value is None:
        return NOTHING
    sign = "±"
    if value > 0:
        sign = "+"
    elif value < 0:
        sign = "−"
    return sign + number(abs(value))


def percent(share: float) -> str:
    """A share in [0, 1] in per cent, one digit behind the point."""
    if 0 < share < 1:
        return f"{share:.1%}"
    return f"{share:.0%}"


def size(count: int) -> str:
    """Bytes for people: `830 B`, `12.4 kB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            if unit == "B":
                return f"{value:.0f} {unit}"
            return f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def duration(seconds: float) -> str:
    """Wall time for people: `0.4 s`, `3 min 12 s`, `2 h 5 min`."""
    if seconds < 60:
        if seconds < 1:
            return f"{seconds:.2f} s"
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def milliseconds(value: float) -> str:
    """Three significant digits: `0.0412 ms`, `12.3 ms`, `1,234 ms`."""
    return f"{value:#.3g} ms" if 0 < value < 100 else f"{value:,.0f} ms"


def times(ratio: float) -> str:
    """Three significant digits: `1.25×`, `130×`."""
    if ratio < 10:
        return f"{ratio:.2f}×"
    if ratio < 100:
        return f"{ratio:.1f}×"
    return f"{ratio:,.0f}×"


def plain(value: Any) -> str:
    """Any JSON value as one line."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, str):
        return clean(value)
    return clean(json.dumps(value, ensure_ascii=False))


def setting(value: Any) -> str:
    """A value of the config, as one would type it."""
    if isinstance(value, str) and value:
        return clean(value)
    return json.dumps(value, ensure_ascii=False)


def cut(text: str, longest: int = LONGEST) -> str:
    """At most `longest` characters."""
    if len(text) <= longest:
        return text
    return text[: longest - 1].rstrip() + "…"


def shortened(value: Any) -> Any:
    """What the template shows of a value: of a text at most MOST characters; markup of ours is
    whole."""
    # By the very type: Markup is a str, and cut it would leave an element open.
    if type(value) is str:
        return cut(value, MOST)
    return value


def words(name: str) -> str:
    """A field's name as words: `average_precision` is `average precision`."""
    return clean(name).replace("_", " ")
